using System.Buffers;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Members;
using RaftKit.Node.Reads;
using RaftKit.Node.Transport;
using RaftKit.Znodes.Sessions;

namespace RaftKit.Znodes.Tests.Golden;

/// <summary>
/// A whole member: the node on a real disk, the tree and its sessions, the door to members and levels, and a state machine of an
/// application's own. What it wrote once is kept in <c>format-1</c>, with what it served then beside it (<c>served.txt</c>); <see
/// cref="LiveAsync"/> is how it was written.
/// </summary>
internal sealed class GoldenMember : IAsyncDisposable
{
    private const string Orders = "orders";
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);
    private static readonly MemberId Self = new(1);

    private readonly RaftNode _node;
    private readonly ZnodeService _znodes;
    private readonly QuorumMembership _membership;
    private readonly FeatureLevels _levels;
    private readonly Ledger _ledger = new();

    private GoldenMember(string folder, long snapshotEvery)
    {
        var inbox = new NodesInbox();
        var features = new FeatureRanges([new(Orders, new FeatureRange(1, 2))]);
        _znodes = new ZnodeService(new ZnodeOptions(), new ThreadPoolClientScheduler(static () => BootTimeClock.Now), NullLogger.Instance);
        _znodes.Connect(inbox);
        _membership = new QuorumMembership(inbox, TaskCreationOptions.RunContinuationsAsynchronously);
        _levels = new FeatureLevels(inbox, features, TaskCreationOptions.RunContinuationsAsynchronously);
        var options = new NodeLoopOptions
        {
            Self = Self,
            Members = new Dictionary<MemberId, string> { [Self] = "127.0.0.1:7421" },
            Seed = 10,
            HostProcess = HostProcess.Current(),
            Features = features,
            SnapshotEveryEntries = snapshotEvery,
            KeepEntries = 2,
            Log = new SegmentedLogOptions { SegmentBytes = 32 << 10, FirstSegmentBytes = 16 << 10, PrepareBytes = 4 << 10 },
        };
        _node = new RaftNode(
            options, new TcpTransportOptions { Listen = "127.0.0.1:0" }, folder, [_znodes.Machine, _ledger],
            [_znodes.Keeper, _membership, _levels], TimeProvider.System,
            NullLoggerFactory.Instance);
        inbox.Node = _node.Inbox;
    }

    /// <summary>Starts it in the folder, and waits until it leads itself.</summary>
    public static async Task<GoldenMember> StartAsync(string folder, long snapshotEvery)
    {
        var member = new GoldenMember(folder, snapshotEvery);
        try
        {
            member._node.Start();
            // Everything that was committed before is applied then.
            await member._znodes.View.ReadAsync(static v => v.Zxid, ReadConsistency.Linearizable).WaitAsync(Patience);
            return member;
        }
        catch
        {
            await member.DisposeAsync();
            throw;
        }
    }

    /// <summary>
    /// Two lives: every kind of command of the tree and its sessions, of the node itself, and of an application's machine.
    /// </summary>
    /// <param name="folder">Where; empty.</param>
    /// <param name="snapshotEvery">A snapshot after so many entries.</param>
    public static async Task LiveAsync(string folder, long snapshotEvery)
    {
        await using (var member = await StartAsync(folder, snapshotEvery))
        {
            await member.ProposeAsync("first");
            await using (var session = member._znodes.Sessions.Open())
            {
                await session.CreateAsync("/app", "config"u8.ToArray());
                await session.CreateAsync("/app/empty");
                await session.CreateAsync("/app/data", new byte[3000]);
                for (var i = 0; i < 3; i++)
                    await session.SetAsync("/app/data", Encoding.UTF8.GetBytes($"version {i + 1}, with ümläuts"), expectedVersion: i);
                for (var i = 0; i < 3; i++)
                    await session.CreateAsync("/app/queue-", new[] { (byte)('0' + i) }, CreateMode.PersistentSequential);
                await session.DeleteAsync("/app/queue-0000000004");
                await session.CreateAsync("/app/mine", default, CreateMode.Ephemeral);
                await session.MultiAsync([
                    new ZnodeOperation.Check("/app", 0), new ZnodeOperation.Create("/multi", "all"u8.ToArray()),
                    new ZnodeOperation.Set("/app", "or nothing"u8.ToArray()),
                ]);
            }
            await member._levels.FinalizeAsync(Orders, 2).WaitAsync(Patience);
            await member.ProposeAsync("second");
            await member._membership.AddAsync(2, "127.0.0.1:7422", voter: false).WaitAsync(Patience);
            await member._membership.RemoveAsync(2).WaitAsync(Patience);
            await member.ProposeAsync(Applier.NodeSection, Applier.MintObserverLife(new MemberId(256)));
        }
        await using (var member = await StartAsync(folder, snapshotEvery))
        {
            await using var session = member._znodes.Sessions.Open();
            await session.CreateAsync("/app/second-life", "again"u8.ToArray());
            await member.ProposeAsync("third");
        }
    }

    /// <summary>All that it serves, value by value, as text.</summary>
    public async Task<string> ServedAsync()
    {
        var text = new StringBuilder();
        var loop = _node.Loop;
        Add($"cluster {loop.ClusterId}, incarnation {loop.Incarnation}, epoch {_node.Status.RecoveryEpoch}");
        Add($"members {string.Join(", ", _membership.Current!.Members.Select(m => $"{m.Id}#{m.Incarnation}{(m.IsVoter ? " votes" : "")}"))}, changing {_membership.Current.IsChanging}");
        Add($"{Orders} at level {_levels.Finalized(Orders)}");
        Add($"next lives: member 2 {loop.Applier.Members.NextLife(new MemberId(2))}, observer 256 {loop.Applier.Members.NextLife(new MemberId(256))}");
        Add($"ledger {string.Join(", ", _ledger.Lines)}");
        var tree = await _znodes.View.ReadAsync(
            static v =>
            {
                var lines = new List<string>();
                Walk(v, "/", lines);
                lines.Add($"{v.Count} znodes, digest {v.Digest.Digest:x16}");
                return lines;
            },
            ReadConsistency.Linearizable).WaitAsync(Patience);
        tree.Value.ForEach(line => Add($"{line}"));
        return text.ToString();

        void Add(FormattableString line) => text.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }

    public async ValueTask DisposeAsync() => await _node.DisposeAsync();

    private static void Walk(IZnodeView view, string path, List<string> lines)
    {
        var node = view.Get(path)!;
        var stat = node.Stat;
        var data = node.Data.Length <= 100 ? Encoding.UTF8.GetString(node.Data.Span) : $"{node.Data.Length} bytes";
        lines.Add(string.Create(
            CultureInfo.InvariantCulture,
            $"{path} '{data}' czxid {stat.CreatedZxid} mzxid {stat.ModifiedZxid} pzxid {stat.ChildrenZxid} ctime {stat.CreatedTime} mtime {stat.ModifiedTime} version {stat.Version} cversion {stat.ChildrenVersion} owner {stat.EphemeralOwner} length {stat.DataLength} children {stat.ChildCount}"));
        foreach (var name in view.GetChildren(path)!.Names.Order(StringComparer.Ordinal))
            Walk(view, path == "/" ? $"/{name}" : $"{path}/{name}", lines);
    }

    private Task ProposeAsync(string line) => ProposeAsync(Ledger.MachineName, Encoding.UTF8.GetBytes(line));

    private async Task ProposeAsync(string machine, ReadOnlyMemory<byte> command)
    {
        var proposal = new Proposal(_node.Loop, machine, command);
        _node.Inbox.Post(new NodeInput.Call(proposal));
        await proposal.Applied.Task.WaitAsync(Patience);
    }

    /// <summary>As the loop's own parts propose, so that the node's commands may come this way.</summary>
    private sealed class Proposal(NodeLoop loop, string machine, ReadOnlyMemory<byte> command) : ILoopCall, IProposalCallback
    {
        public TaskCompletionSource Applied { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Run() => ((ILoopServices)loop).Propose(machine, command, this);

        public void Stopped() => Applied.TrySetException(new InvalidOperationException("The node has stopped."));

        public void Failed(ProposalFailure failure, string reason) =>
            Applied.TrySetException(new InvalidOperationException($"{failure}: {reason}"));

        void IProposalCallback.Applied(in CommandContext context, ReadOnlyMemory<byte> result) => Applied.TrySetResult();
    }

    /// <summary>The doors are made before the node that they lead to.</summary>
    private sealed class NodesInbox : INodeInbox
    {
        public INodeInbox? Node { get; set; }

        public void Post(NodeInput input) => Node!.Post(input);
    }

    /// <summary>An application's own machine: what was proposed, each with its level.</summary>
    private sealed class Ledger : IStateMachine
    {
        public const string MachineName = "ledger";

        public List<string> Lines { get; } = [];

        public string Name => MachineName;

        public void Apply(in CommandContext context, ReadOnlyMemory<byte> command, IBufferWriter<byte> result) =>
            Lines.Add(string.Create(CultureInfo.InvariantCulture,
                $"{Encoding.UTF8.GetString(command.Span)} at {context.Zxid} level {context.LevelOf(Orders)}"));

        public ISnapshotCapture Capture() => new Slice(string.Join('\n', Lines));

        public IStateRestorer BeginRestore() => new Restorer(this);

        private sealed class Slice(string lines) : ISnapshotCapture
        {
            public bool WriteSlice(IBufferWriter<byte> frame)
            {
                frame.Write(Encoding.UTF8.GetBytes(lines));
                return false;
            }

            public void Dispose()
            {
                // It holds nothing.
            }
        }

        private sealed class Restorer(Ledger ledger) : IStateRestorer
        {
            private readonly List<string> _lines = [];

            public void Frame(ReadOnlyMemory<byte> frame) =>
                _lines.AddRange(Encoding.UTF8.GetString(frame.Span).Split('\n', StringSplitOptions.RemoveEmptyEntries));

            public void Complete(in CommandContext context)
            {
                ledger.Lines.Clear();
                ledger.Lines.AddRange(_lines);
            }
        }
    }
}
