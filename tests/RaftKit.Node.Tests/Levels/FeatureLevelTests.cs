using System.Buffers;
using Microsoft.Extensions.Logging.Abstractions;
using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;
using RaftKit.Node.Members;
using RaftKit.Node.Proposals;
using RaftKit.Node.Transport;
using RaftKit.Node.Tests.Loop;
using RaftKit.Tests;
using Xunit;

namespace RaftKit.Node.Tests.Levels;

/// <summary>
/// A cluster of real nodes, sockets and disks rolls from build 1, which supports level 1 of orders, to build 2, which supports 1 and 2.
/// </summary>
public sealed class FeatureLevelTests : IAsyncLifetime
{
    private const string Orders = "orders";
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly string _root = Directory.CreateTempSubdirectory("raftkit-levels-").FullName;
    private readonly SortedDictionary<int, Member> _members = [];
    private readonly Dictionary<MemberId, string> _endpoints = Enumerable.Range(1, 3).ToDictionary(
        i => new MemberId(i), _ => $"127.0.0.1:{Loopback.FreePort()}");
    private long _snapshotEvery = 100_000;

    [Fact]
    public async Task A_level_is_finalised_once_all_members_support_it_and_every_machine_sees_it_from_the_same_entry_on()
    {
        foreach (var id in new[] { 1, 2, 3 })
            Start(id, build: 1);
        await ProposeAsync(1);
        foreach (var id in new[] { 1, 2 })
        {
            await StopAsync(id);
            Start(id, build: 2);
            await ProposeAsync(id);
        }
        await Eventually.HoldsAsync(Patience, () => AllLinked(3));
        var refused =
            await Assert.ThrowsAsync<FeatureLevelRefusedException>(() => _members[1].Levels.FinalizeAsync(Orders, 2).WaitAsync(Patience));
        Assert.Contains("member 3 supports levels 1..1: start it with a build that supports level 2", refused.Message);
        // Whoever cannot read a level is not to ask for it either.
        refused = await Assert.ThrowsAsync<FeatureLevelRefusedException>(() =>
            _members[3].Levels.FinalizeAsync(Orders, 2).WaitAsync(Patience));
        Assert.Contains("This process supports levels 1..1 of orders, not 2", refused.Message);

        await StopAsync(3);
        // Until the leader has heard of it, the hello of before counts.
        do
            refused = await Assert.ThrowsAsync<FeatureLevelRefusedException>(() =>
                _members[1].Levels.FinalizeAsync(Orders, 2).WaitAsync(Patience));
        while (!refused.Message.Contains("member 3 is not connected with the leader", StringComparison.Ordinal));
        Start(3, build: 2);
        await ProposeAsync(3);
        await Eventually.HoldsAsync(Patience, () => AllLinked(3));

        var told = _members[2].Levels.WhenFinalizedAsync(Orders, 2);
        await _members[3].Levels.FinalizeAsync(Orders, 2).WaitAsync(Patience);
        Assert.Equal(2, _members[3].Levels.Finalized(Orders));
        await told.WaitAsync(Patience);
        Assert.Equal(2, _members[2].Levels.Finalized(Orders));
        Assert.True(_members[2].Levels.WhenFinalizedAsync(Orders, 2).IsCompletedSuccessfully);
        await ProposeAsync(2);

        await Eventually.HoldsAsync(Patience, () => _members.Values.All(m => m.Machine.LevelsSeen.SequenceEqual([1, 1, 1, 1, 2])));
        // Asked for again, nothing changes.
        await _members[1].Levels.FinalizeAsync(Orders, 2).WaitAsync(Patience);
        Assert.Contains(
            "levels never fall",
            (await Assert.ThrowsAsync<FeatureLevelRefusedException>(() =>
            _members[1].Levels.FinalizeAsync(Orders, 1).WaitAsync(Patience))).Message);
    }

    [Fact]
    public async Task A_member_that_goes_back_to_the_old_build_takes_no_part_loses_nothing_and_goes_on_with_the_new_one()
    {
        await FormAtLevelTwoAsync();
        await StopAsync(3);
        await ProposeAsync(1);
        Start(3, build: 1);

        var end = Assert.IsType<FeatureLevelUnsupportedException>(await _members[3].Node.Ended.WaitAsync(Patience));
        Assert.Contains("level 2", end.Message, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("supports levels 1..1", end.Message);
        Assert.DoesNotContain(2, _members[3].Machine.LevelsSeen);
        await _members[3].Node.DisposeAsync();

        Start(3, build: 2);
        await ProposeAsync(3);
        await Eventually.HoldsAsync(Patience, () => _members.Values.All(m => m.Machine.LevelsSeen.SequenceEqual([1, 2, 2])));
    }

    [Fact]
    public async Task A_majority_that_goes_back_stops_before_the_entry_by_itself()
    {
        await FormAtLevelTwoAsync();
        await ProposeAsync(1);
        foreach (var id in new[] { 1, 2, 3 })
            await StopAsync(id);
        // Nobody is left who could refuse them: it is their own log that does.
        Start(1, build: 1);
        Start(2, build: 1);

        foreach (var id in new[] { 1, 2 })
        {
            Assert.IsType<FeatureLevelUnsupportedException>(await _members[id].Node.Ended.WaitAsync(Patience));
            Assert.DoesNotContain(2, _members[id].Machine.LevelsSeen);
            await _members[id].Node.DisposeAsync();
        }
        foreach (var id in new[] { 1, 2, 3 })
            Start(id, build: 2);
        await ProposeAsync(3);
        await Eventually.HoldsAsync(Patience, () => _members.Values.All(m => m.Machine.LevelsSeen.SequenceEqual([1, 2, 2])));
    }

    [Fact]
    public async Task A_level_in_a_snapshot_refuses_the_old_build_at_its_start_and_the_host_process_lives_on()
    {
        _snapshotEvery = 20;
        await FormAtLevelTwoAsync();
        for (var i = 0; i < 60; i++)
            await ProposeAsync(1);
        await Eventually.HoldsAsync(Patience, () => _members[2].Node.Counters.SnapshotsTaken > 0);
        await StopAsync(2);

        // No exception: the start has happened, and the node has ended.
        Start(2, build: 1);
        var end = Assert.IsType<FeatureLevelUnsupportedException>(await _members[2].Node.Ended.WaitAsync(Patience));
        Assert.Contains("The snapshot up to entry", end.Message);
        Assert.Empty(_members[2].Machine.LevelsSeen);
        var wait = await Assert.ThrowsAsync<NotAppliedException>(() =>
            _members[2].Levels.WhenFinalizedAsync(Orders, 2).WaitAsync(Patience));
        Assert.Contains("stopped", wait.Message);
        await _members[2].Node.DisposeAsync();

        Start(2, build: 2);
        await ProposeAsync(2);
        Assert.Equal(2, _members[2].Levels.Finalized(Orders));
    }

    [Fact]
    public async Task A_machine_that_joins_with_the_old_build_is_refused_before_it_is_taken_in()
    {
        await FormAtLevelTwoAsync();
        await StopAsync(3);
        Directory.Delete(DirectoryOf(3), recursive: true);
        Start(3, build: 1);

        var end = Assert.IsType<FeatureLevelUnsupportedException>(await _members[3].Node.Ended.WaitAsync(Patience));
        Assert.Contains("Level 2 of orders is finalised, and the process of member 3 supports levels 1..1", end.Message);
        await _members[3].Node.DisposeAsync();
        // Its place is as it was.
        Assert.All(_members.Where(m => m.Key != 3), m =>
            Assert.Equal(1, m.Value.Node.Loop.Core!.Membership.IncarnationOf(new MemberId(3))!.Value.Incarnation));

        Start(3, build: 2);
        await ProposeAsync(3);
        await Eventually.HoldsAsync(Patience, () => _members[3].Node.Loop.Core is { } core && core.Membership.IsVoter(new MemberId(3)));
    }

    [Fact]
    public async Task An_observer_is_not_asked_and_stops_when_it_does_not_support_the_level()
    {
        foreach (var id in new[] { 1, 2, 3 })
            Start(id, build: 2);
        Start(256, build: 1);
        await ProposeAsync(1);
        await Eventually.HoldsAsync(Patience, () => AllLinked(3) && _members[256].Machine.LevelsSeen.Count == 1);
        await _members[1].Levels.FinalizeAsync(Orders, 2).WaitAsync(Patience);

        Assert.IsType<FeatureLevelUnsupportedException>(await _members[256].Node.Ended.WaitAsync(Patience));
        await _members[256].Node.DisposeAsync();
        Start(256, build: 2);
        await ProposeAsync(1);
        await Eventually.HoldsAsync(Patience, () => _members[256].Machine.LevelsSeen.SequenceEqual([1, 2]));
    }

    [Fact]
    public async Task A_new_cluster_begins_at_the_lowest_level_that_its_build_supports()
    {
        foreach (var id in new[] { 1, 2, 3 })
            Start(id, build: 3);
        await ProposeAsync(2);
        await Eventually.HoldsAsync(
            Patience, () => _members.Values.All(m => m.Machine.LevelsSeen.SequenceEqual([2]) && m.Levels.Finalized(Orders) == 2));
    }

    [Fact]
    public async Task A_build_that_no_longer_supports_what_the_log_holds_stops_before_it()
    {
        foreach (var id in new[] { 1, 2, 3 })
            Start(id, build: 2);
        await ProposeAsync(1);
        await Eventually.HoldsAsync(Patience, () => _members.Values.All(m => m.Machine.LevelsSeen.Count == 1));
        await StopAsync(3);
        Start(3, build: 3);
        var end = Assert.IsType<FeatureLevelUnsupportedException>(await _members[3].Node.Ended.WaitAsync(Patience));
        Assert.Contains("is at level 1 of orders, and this process supports levels 2..3 of it", end.Message);
        Assert.Empty(_members[3].Machine.LevelsSeen);
        await _members[3].Node.DisposeAsync();
    }

    [Fact]
    public async Task Names_and_levels_that_cannot_be_are_refused_where_they_are_asked_for()
    {
        Start(1, build: 2);
        var levels = _members[1].Levels;
        await Assert.ThrowsAsync<ArgumentException>(() => levels.FinalizeAsync("a b", 2));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => levels.FinalizeAsync(Orders, 0));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            levels.WhenFinalizedAsync(Orders, 2, new CancellationToken(canceled: true)));
        Assert.Equal(new FeatureRange(1, 2), levels.Supported[Orders]);
        Assert.Equal(new FeatureRange(1, 1), levels.Supported["raftkit"]);
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var member in _members.Values)
            await member.Node.StopAsync().WaitAsync(Patience);
        Directory.Delete(_root, recursive: true);
    }

    private async Task FormAtLevelTwoAsync()
    {
        foreach (var id in new[] { 1, 2, 3 })
            Start(id, build: 2);
        await ProposeAsync(1);
        await Eventually.HoldsAsync(Patience, () => AllLinked(3));
        await _members[1].Levels.FinalizeAsync(Orders, 2).WaitAsync(Patience);
        await Eventually.HoldsAsync(Patience, () => _members.Values.All(m => m.Levels.Finalized(Orders) == 2));
    }

    // That the leader has a link with everybody shows in what they apply: the newest entry.
    private bool AllLinked(int count) =>
        _members.Values.Count(
            m => m.Node.Status is { Ready: true, Leader.Value: var leader } status && _members.ContainsKey(leader)
            && status.Applied == _members[leader].Node.Status.Applied) >= count;

    private void Start(int id, int build)
    {
        var supported = new FeatureRanges([new(Orders, build switch { 1 => new(1, 1), 2 => new(1, 2), _ => new(2, 3) })]);
        var self = new MemberId(id);
        var options = new NodeLoopOptions
        {
            Self = self,
            Members = _endpoints,
            Seed = (ulong)id,
            HostProcess = HostProcess.Current(),
            SnapshotEveryEntries = _snapshotEvery,
            KeepEntries = 10,
            Features = supported,
        };
        var inbox = new LateInbox();
        var (machine, levels) =
            (new LevelMachine(), new FeatureLevels(inbox, supported, TaskCreationOptions.RunContinuationsAsynchronously));
        var transport = new TcpTransportOptions { Listen = _endpoints.GetValueOrDefault(self, "") };
        var node = new RaftNode(options, transport, DirectoryOf(id), [machine], [levels], TimeProvider.System, NullLoggerFactory.Instance);
        inbox.Inner = node.Inbox;
        _members[id] = new Member(node, machine, levels);
        node.Start();
    }

    private async Task StopAsync(int id)
    {
        Assert.True(_members.Remove(id, out var member));
        await member.Node.StopAsync().WaitAsync(Patience);
        Assert.Null(await member.Node.Ended);
    }

    private string DirectoryOf(int id) => Path.Combine(_root, $"member-{id}");

    private async Task ProposeAsync(int member)
    {
        var callback = new Callback();
        _members[member].Node.Inbox.Post(new NodeInput.Propose(LevelMachine.Called, new byte[1], callback));
        await callback.Done.Task.WaitAsync(Patience);
    }

    private sealed record Member(RaftNode Node, LevelMachine Machine, FeatureLevels Levels);

    private sealed class LateInbox : INodeInbox
    {
        public INodeInbox Inner { get; set; } = null!;

        public void Post(NodeInput input) => Inner.Post(input);
    }

    private sealed class Callback : IProposalCallback
    {
        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Applied(in CommandContext context, ReadOnlyMemory<byte> result) => Done.TrySetResult();

        public void Failed(ProposalFailure failure, string reason) => Done.TrySetException(new NotAppliedException(reason));
    }

    /// <summary>Notes the level of each command.</summary>
    private sealed class LevelMachine : IStateMachine
    {
        public const string Called = "levels";
        private IReadOnlyList<int> _seen = [];

        public string Name => Called;

        public IReadOnlyList<int> LevelsSeen { get => Volatile.Read(ref _seen); private set => Volatile.Write(ref _seen, value); }

        public void Apply(in CommandContext context, ReadOnlyMemory<byte> command, IBufferWriter<byte> result) =>
            LevelsSeen = [.. LevelsSeen, context.LevelOf(Orders)];

        public ISnapshotCapture Capture() => new Frame(LevelsSeen);

        public IStateRestorer BeginRestore() => new Restorer(this);

        private sealed class Frame(IReadOnlyList<int> seen) : ISnapshotCapture
        {
            public bool WriteSlice(IBufferWriter<byte> frame)
            {
                frame.Write(seen.Select(level => (byte)level).ToArray());
                return false;
            }

            public void Dispose()
            {
                // Nothing is held.
            }
        }

        private sealed class Restorer(LevelMachine machine) : IStateRestorer
        {
            private readonly List<int> _seen = [];

            public void Frame(ReadOnlyMemory<byte> frame) => _seen.AddRange(frame.ToArray().Select(b => (int)b));

            public void Complete(in CommandContext context) => machine.LevelsSeen = _seen;
        }
    }
}
