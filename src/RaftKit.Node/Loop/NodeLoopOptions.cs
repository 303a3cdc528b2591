using Microsoft.Extensions.Logging;
using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Reads;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Loop;

/// <summary>How one member's loop behaves.</summary>
internal sealed record NodeLoopOptions
{
    public required MemberId Self { get; init; }

    /// <summary>Where the members that this one is configured with listen, itself included; an observer's seeds, without itself.</summary>
    public required IReadOnlyDictionary<MemberId, string> Members { get; init; }

    /// <summary>Seeds this node's random choices: election jitter, cluster id.</summary>
    public required ulong Seed { get; init; }

    public required HostProcess HostProcess { get; init; }

    public TimeSpan TickInterval { get; init; } = TimeSpan.FromMilliseconds(5);

    public int HeartbeatTicks { get; init; } = 6;

    public int ElectionTicks { get; init; } = 40;

    /// <summary>How often, at most, what others told of their disks is written down.</summary>
    public int WitnessTicks { get; init; } = 200;

    /// <summary>
    /// For how long a voter that answers the leader's heartbeat lets nobody else lead: what leader leases rest on. Zero: there are none.
    /// </summary>
    public TimeSpan VoterPromise { get; init; }

    /// <summary>How much any member's clock may run faster or slower than true time, as a fraction of it.</summary>
    public double ClockDrift { get; init; } = 0.01;

    /// <summary>The most entry bytes in one append message, and the most bytes in one snapshot chunk.</summary>
    public int MaxAppendBytes { get; init; } = 1 << 20;

    public int SnapshotChunkBytes { get; init; } = 1 << 20;

    /// <summary>An operator's word that the configured members may form a cluster though not all of them answered.</summary>
    public bool ForceBootstrap { get; init; }

    /// <summary>With an empty directory this member is to enter a cluster that exists: it never forms one.</summary>
    public bool JoinOnly { get; init; }

    /// <summary>With an empty directory this member asks a member of the cluster to be added by itself. Not without <see cref="JoinOnly"/>.</summary>
    public bool AutoJoin { get; init; }

    /// <summary>Whether this member proposes to add whoever asks it for that.</summary>
    public bool AllowAutoJoin { get; init; } = true;

    /// <summary>A snapshot is taken after this many applied entries...</summary>
    public long SnapshotEveryEntries { get; init; } = 200_000;

    /// <summary>...or this many applied bytes, whichever comes first.</summary>
    public long SnapshotEveryBytes { get; init; } = 64L << 20;

    /// <summary>Entries kept in the log behind a snapshot, for peers that are only a little behind.</summary>
    public long KeepEntries { get; init; } = 20_000;

    /// <summary>Entry bytes kept in memory behind the commit.</summary>
    public long KeepMemoryBytes { get; init; } = 16L << 20;

    /// <summary>The most of this member's own proposals that wait for their result.</summary>
    public int MaxPendingProposals { get; init; } = 16_384;

    /// <summary>The most bytes of this member's own proposals that wait for their result.</summary>
    public long MaxPendingBytes { get; init; } = 32L << 20;

    /// <summary>Hears how long proposals took; null: nobody does.</summary>
    public Proposals.IProposalMeter? ProposalMeter { get; init; }

    /// <summary>The most linearizable reads of this process that wait for the quorum.</summary>
    public int MaxPendingReads { get; init; } = 65_536;

    /// <summary>How much may wait for the loop's next turn.</summary>
    public InboxLimits Inbox { get; init; } = InboxLimits.Default;

    /// <summary>How long a graceful stop may take for the host's session and for handing leadership over, each.</summary>
    public TimeSpan StopPatience { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Which levels of which features this process supports.</summary>
    public FeatureRanges Features { get; init; } = FeatureRanges.Own;

    public SegmentedLogOptions Log { get; init; } = new();

    public RaftCoreOptions CoreOptions(int incarnation, uint boot) => new()
    {
        Self = Self,
        Seed = Seed,
        Seeds = Self.IsObserver ? [.. Members.Keys.Where(m => m != Self).Order()] : [],
        Incarnation = incarnation,
        Boot = boot,
        HeartbeatTicks = HeartbeatTicks,
        ElectionTicks = ElectionTicks,
        VoterPromise = VoterPromise,
        ClockDrift = ClockDrift,
        MaxAppendBytes = MaxAppendBytes,
        SnapshotChunkBytes = SnapshotChunkBytes,
    };
}

/// <summary>Everything outside that a loop touches.</summary>
/// <param name="Directory">Where its durable files live.</param>
/// <param name="LogLane">Runs log writes, in order.</param>
/// <param name="SnapshotLane">Runs snapshot reads and writes, in order, beside the log's.</param>
/// <param name="Transport">Carries messages.</param>
/// <param name="Inbox">Where the loop's own later inputs go in.</param>
/// <param name="Logger">Hears what happened.</param>
internal sealed record NodeLoopPorts(
    ILogDirectory Directory, IDiskLane LogLane, IDiskLane SnapshotLane, ITransport Transport, INodeInbox Inbox, ILogger Logger)
{
    /// <summary>What leases are held against.</summary>
    public ILeaseClock LeaseClock { get; init; } = BootTimeLeaseClock.Instance;
}
