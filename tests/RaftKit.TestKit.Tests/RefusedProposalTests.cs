using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;
using RaftKit.Znodes;

namespace RaftKit.TestKit.Tests;

/// <summary>
/// A rolling restart gives members a state machine that the leader does not have yet, and somebody proposes to it too early.
/// </summary>
public sealed class RefusedProposalTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);

    private readonly Dictionary<(MemberId Member, string Machine), Tape> _tapes = [];
    private readonly HashSet<MemberId> _upgraded = [];

    [Theory, InlineData(1), InlineData(2), InlineData(3)]
    public void A_command_that_the_leader_cannot_apply_is_refused_and_what_was_proposed_behind_it_goes_on_in_order(ulong seed)
    {
        var cluster = Upgraded(seed, out var leader, out var early);

        var before = Propose(cluster, early, "old", 1);
        var refused = Propose(cluster, early, "new", 2);
        var behind = Propose(cluster, early, "old", 3);
        var last = Propose(cluster, early, "old", 4);
        var znode = cluster.Begin(early, async host =>
        {
            await using var session = host.Sessions.Open();
            return await session.CreateAsync("/behind", default);
        });

        Assert.True(cluster.RunUntil(() => last.IsCompleted && znode.IsCompleted, Soon), "what was proposed behind it waits");
        Assert.Contains($"Leader {leader} has no state machine 'new'", Refusal(refused), StringComparison.Ordinal);
        Assert.All(new[] { before, behind, last }, proposal => Assert.True(proposal.IsCompletedSuccessfully));
        Assert.True(znode.IsCompletedSuccessfully);
        // Nobody applied it, then or later: not even who had kept it, and leads one day.
        cluster.Kill(leader);
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));
        Assert.Equal([1], cluster.Run(early, host => host.ProposeAsync("new", new byte[] { 5 })).ToArray());
        Assert.Equal([5], _tapes[(early, "new")].Commands);
        Assert.Equal([1, 3, 4], _tapes[(early, "old")].Commands);
        Assert.True(
            cluster.RunUntil(
                () => cluster.Members.Where(m => m != leader).All(
                    m => _tapes[(m, "new")].Commands is [5] && _tapes[(m, "old")].Commands is [1, 3, 4]), Soon));
    }

    [Fact]
    public void Who_learns_of_the_refusal_by_a_snapshot_only_is_told_the_same()
    {
        var cluster = Upgraded(1, out var leader, out var early);
        var last = cluster.StatusOf(leader)!.Commit;
        var refused = Propose(cluster, early, "new", 2);
        var behind = Propose(cluster, early, "old", 3);
        // The leader has them, and its proposer hears nothing more before the log that holds them is gone.
        Assert.True(cluster.RunUntil(() => cluster.MemberOf(leader).Loop!.Core!.LastIndex >= last.Next.Next, Soon));
        cluster.Partition(cluster.Members.Where(m => m != early).ToArray());
        for (var i = 0; i < 30; i++)
            cluster.Run(leader, host => host.ProposeAsync("old", new byte[] { 9 }));
        Assert.False(refused.IsCompleted || behind.IsCompleted);
        cluster.Heal();

        Assert.True(cluster.RunUntil(() => refused.IsCompleted && behind.IsCompleted, Soon));

        Assert.Equal(1, _tapes[(early, "old")].Restored);
        Assert.Contains("has no state machine 'new'", Refusal(refused), StringComparison.Ordinal);
        Assert.True(behind.IsCompletedSuccessfully);
        Assert.Equal(3, _tapes[(early, "old")].Commands[0]);
        Assert.Empty(_tapes[(early, "new")].Commands);
    }

    [Theory, InlineData(1, false), InlineData(2, false), InlineData(1, true), InlineData(2, true)]
    public void A_refusal_that_is_lost_with_its_leader_leaves_the_command_to_the_next_one_that_can_apply_it(ulong seed, bool othersHaveIt)
    {
        var cluster = Upgraded(seed, out var leader, out var early);
        var last = cluster.StatusOf(leader)!.Commit;
        var proposed = Propose(cluster, early, "new", 2);
        var behind = Propose(cluster, early, "old", 3);
        // Nothing more leaves it, from the turn on in which it refuses the command.
        if (!othersHaveIt)
            cluster.MemberOf(leader).Run!.CutAfter(0);
        Assert.True(cluster.RunUntil(() => cluster.MemberOf(leader).Loop!.Core!.LastIndex > last, Soon));
        cluster.RunFor(TimeSpan.FromMilliseconds(5));
        if (othersHaveIt)
            cluster.Kill(leader);
        Assert.Null(cluster.MemberOf(leader).Run);

        Assert.True(cluster.RunUntil(() => proposed.IsCompleted && behind.IsCompleted, Soon));

        Assert.Equal(othersHaveIt, proposed.IsFaulted);
        if (othersHaveIt)
            Assert.Contains("has no state machine 'new'", Refusal(proposed), StringComparison.Ordinal);
        byte[] applied = othersHaveIt ? [] : [2];
        Assert.True(cluster.RunUntil(
            () => cluster.Members.Where(m => m != leader).All(
                m => _tapes[(m, "new")].Commands.SequenceEqual(applied) && _tapes[(m, "old")].Commands is [3]), Soon));
    }

    /// <summary>Three members, of which all but the leader were restarted with another state machine.</summary>
    private SimulatedCluster Upgraded(ulong seed, out MemberId leader, out MemberId early)
    {
        var cluster = new SimulatedCluster(new SimulatedClusterOptions
        {
            Seed = seed,
            SnapshotEveryEntries = 20,
            StateMachines = id => [.. Machines(id).Select(name => _tapes[(id, name)] = new Tape(name))],
        });
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));
        var leads = leader = cluster.Leader;
        var others = cluster.Members.Where(m => m != leads).ToList();
        foreach (var member in others)
        {
            cluster.RunFor(TimeSpan.FromSeconds(1));
            cluster.Kill(member);
            _upgraded.Add(member);
            cluster.Start(member);
        }
        cluster.RunFor(TimeSpan.FromSeconds(1));
        Assert.Equal(leads, cluster.Leader);
        early = others[0];
        return cluster;
    }

    private IReadOnlyList<string> Machines(MemberId member) => _upgraded.Contains(member) ? ["old", "new"] : ["old"];

    private static Task<ReadOnlyMemory<byte>> Propose(SimulatedCluster cluster, MemberId member, string machine, byte command) =>
        cluster.Begin(member, host => host.ProposeAsync(machine, new[] { command }));

    private static string Refusal(Task<ReadOnlyMemory<byte>> proposal) =>
        Assert.IsType<NotAppliedException>(proposal.Exception!.InnerException).Message;

    /// <summary>Writes down what it is told, and answers how often it was told the same.</summary>
    private sealed class Tape(string name) : IStateMachine
    {
        public string Name => name;

        public List<byte> Commands { get; private set; } = [];

        public int Restored { get; private set; }

        public void Apply(in CommandContext context, ReadOnlyMemory<byte> command, IBufferWriter<byte> result)
        {
            Commands.Add(command.Span[0]);
            result.Write([(byte)Commands.Count(c => c == command.Span[0])]);
        }

        public ISnapshotCapture Capture() => new Captured([.. Commands]);

        public IStateRestorer BeginRestore() => new Restorer(this);

        private sealed class Captured(byte[] commands) : ISnapshotCapture
        {
            public bool WriteSlice(IBufferWriter<byte> frame)
            {
                frame.Write(commands);
                return false;
            }

            public void Dispose()
            {
            }
        }

        private sealed class Restorer(Tape tape) : IStateRestorer
        {
            private readonly List<byte> _commands = [];

            public void Frame(ReadOnlyMemory<byte> frame) => _commands.AddRange(frame.Span);

            public void Complete(in CommandContext context)
            {
                tape.Commands = _commands;
                tape.Restored++;
            }
        }
    }
}
