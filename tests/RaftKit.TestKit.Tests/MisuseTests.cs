using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Loop;

namespace RaftKit.TestKit.Tests;

/// <summary>What cannot be is refused at once, by what it is called, with what can be.</summary>
public sealed class MisuseTests
{
    public static TheoryData<string, Action<SimulatedCluster, MemberId>> Calls => new()
    {
        { "Start", (cluster, member) => cluster.Start(member) },
        { "Start with seeds", (cluster, member) => cluster.Start(new MemberId(1), member) },
        { "Kill", (cluster, member) => cluster.Kill(member) },
        { "PowerCut", (cluster, member) => cluster.PowerCut(member) },
        { "Pause", (cluster, member) => cluster.Pause(member) },
        { "Resume", (cluster, member) => cluster.Resume(member) },
        { "Wipe", (cluster, member) => cluster.Wipe(member) },
        { "FailIo", (cluster, member) => cluster.FailIo(member) },
        { "IoFailsSoon", (cluster, member) => cluster.IoFailsSoon(member) },
        { "SlowDisk", (cluster, member) => cluster.SlowDisk(member, TimeSpan.FromMilliseconds(1)) },
        { "StatusOf", (cluster, member) => cluster.StatusOf(member) },
        { "FailureOf", (cluster, member) => cluster.FailureOf(member) },
        { "ForceNewQuorum", (cluster, member) => cluster.ForceNewQuorum(member) },
        { "Partition", (cluster, member) => cluster.Partition([new MemberId(1), new MemberId(2)], [member]) },
        { "Begin", (cluster, member) => cluster.Begin(member, _ => Task.FromResult(1)) },
    };

    [Theory, MemberData(nameof(Calls))]
    public void A_member_that_there_is_not_is_named_beside_those_there_are(string call, Action<SimulatedCluster, MemberId> misuse)
    {
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Observers = 2 });
        foreach (var stranger in new[] { MemberId.None, new(4), new(-1), new(258), new(255) })
        {
            var refusal = Assert.Throws<ArgumentException>(() => misuse(cluster, stranger));
            Assert.StartsWith(
                $"There is no member {stranger}. This cluster has the members 1, 2, 3 and the observers 256 to 257.", refusal.Message,
                StringComparison.Ordinal);
        }
        Assert.NotEmpty(call);
    }

    public static TheoryData<string, SimulatedClusterOptions> Options => new()
    {
        { "SimulatedClusterOptions.Members is 0. Give 1 to 7.", new() { Members = 0 } },
        { "SimulatedClusterOptions.Members is 8. Give 1 to 7.", new() { Members = 8 } },
        { "SimulatedClusterOptions.Observers is -1. Give 0 to", new() { Observers = -1 } },
        { "SimulatedClusterOptions.Founders is 5. Give 0 (all) to 3", new() { Founders = 5 } },
        { "SimulatedClusterOptions.Founders is -1. Give 0 (all) to 3", new() { Founders = -1 } },
        { "SimulatedClusterOptions.SnapshotEveryEntries is 0. Give at least 1.", new() { SnapshotEveryEntries = 0 } },
        { "SimulatedClusterOptions.SnapshotEveryEntries is -5. Give at least 1.", new() { SnapshotEveryEntries = -5 } },
        { "SimulatedClusterOptions.SessionTimeout is 00:00:00. Give more", new() { SessionTimeout = TimeSpan.Zero } },
    };

    [Theory, MemberData(nameof(Options))]
    public void An_option_out_of_its_range_is_named_with_it(string message, SimulatedClusterOptions options) =>
        Assert.StartsWith(
            message, Assert.Throws<ArgumentOutOfRangeException>(() => new SimulatedCluster(options)).Message, StringComparison.Ordinal);

    [Fact]
    public void Time_only_goes_forward()
    {
        var cluster = Formed();
        var before = cluster.Now;
        Assert.Throws<ArgumentOutOfRangeException>(() => cluster.RunFor(TimeSpan.FromSeconds(-3)));
        Assert.Throws<ArgumentOutOfRangeException>(() => cluster.RunUntil(() => false, TimeSpan.FromSeconds(-3)));
        Assert.Throws<ArgumentOutOfRangeException>(() => cluster.Run(new MemberId(1), _ => Task.FromResult(1), TimeSpan.FromTicks(-1)));
        Assert.Throws<ArgumentOutOfRangeException>(() => cluster.SlowDisk(new MemberId(1), TimeSpan.FromSeconds(-3)));
        Assert.Equal(before, cluster.Now);
    }

    [Theory, InlineData(0.51), InlineData(0.9), InlineData(-1), InlineData(double.NaN), InlineData(double.PositiveInfinity)]
    public void A_disturbance_is_a_chance_of_at_most_a_half(double chance)
    {
        var cluster = new SimulatedCluster();
        Assert.Throws<ArgumentOutOfRangeException>("drop", () => cluster.Disturb(drop: chance));
        Assert.Throws<ArgumentOutOfRangeException>("delay", () => cluster.Disturb(delay: chance));
        Assert.Throws<ArgumentOutOfRangeException>("duplicate", () => cluster.Disturb(duplicate: chance));
        Assert.Throws<ArgumentOutOfRangeException>("reorder", () => cluster.Disturb(reorder: chance));
    }

    // It disturbed nothing, for as long as nobody asked.
    [Fact]
    public void A_disturbed_network_drops_delays_duplicates_and_reorders()
    {
        var cluster = Formed();
        cluster.Disturb(0.2, 0.2, 0.2, 0.2);

        cluster.RunFor(TimeSpan.FromSeconds(5));

        var faults = cluster.Faults;
        Assert.All(new[] { faults.Drop, faults.Delay, faults.Duplicate, faults.Reorder }, struck =>
            Assert.True(struck > 10, $"only {struck}"));
    }

    [Fact]
    public void No_machines_are_an_empty_list_and_the_refused_start_leaves_nothing_behind()
    {
        var isNull = true;
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Members = 1, StateMachines = _ => isNull ? null! : [] });
        var refusal = Assert.Throws<InvalidOperationException>(cluster.StartAll);
        Assert.Equal("SimulatedClusterOptions.StateMachines gave null for member 1. Give its machines, or [] for none.", refusal.Message);

        isNull = false;
        cluster.StartAll();

        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public void A_machine_that_a_member_does_not_have_is_named_by_its_type()
    {
        var cluster = Formed();
        var refusal =
            Assert.Throws<InvalidOperationException>(() =>
            cluster.Run(new MemberId(1), host => host.Replicated<Unheard>().ProposeAsync(default)));
        Assert.StartsWith(
            "This member does not have one state machine of type Unheard. It has none of yours.", refusal.Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_command_that_cannot_be_is_refused_to_its_caller_and_the_node_goes_on()
    {
        var cluster = Formed();
        Assert.Throws<ArgumentNullException>(() => cluster.Run(new MemberId(1), host => host.ProposeAsync(null!, default)));
        var refusal =
            Assert.Throws<ArgumentException>(() => cluster.Run(new MemberId(1), host => host.ProposeAsync("any", new byte[(1 << 20) + 1])));
        Assert.Contains("1048577 bytes; at most 1048576", refusal.Message, StringComparison.Ordinal);
        Assert.NotNull(cluster.StatusOf(new MemberId(1)));
    }

    [Fact]
    public void A_client_that_returns_no_task_is_told_so()
    {
        var cluster = Formed();
        var refusal = Assert.Throws<InvalidOperationException>(() => cluster.Run<int>(new MemberId(2), _ => null!));
        Assert.Contains("member 2 returned null instead of a task", refusal.Message, StringComparison.Ordinal);
    }

    private static SimulatedCluster Formed()
    {
        var cluster = new SimulatedCluster();
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, TimeSpan.FromSeconds(10)));
        return cluster;
    }

    private sealed class Unheard : IStateMachine
    {
        public string Name => "unheard";

        public void Apply(in CommandContext context, ReadOnlyMemory<byte> command, IBufferWriter<byte> result) =>
            throw new NotSupportedException();

        public ISnapshotCapture Capture() => throw new NotSupportedException();

        public IStateRestorer BeginRestore() => throw new NotSupportedException();
    }
}
