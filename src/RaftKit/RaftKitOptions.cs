using System.Globalization;
using RaftKit.Node.Levels;

namespace RaftKit;

/// <summary>
/// How this process takes part in a quorum. With nothing set it is a quorum of one: durable, in <c>raftkit-data</c> under the application's
/// content root, and reachable by nobody. All values are checked together when the host starts; each error names its key, the value and the
/// mend. Bound from the configuration section <c>RaftKit</c> (a cluster with a key: <c>RaftKit:{key}</c>) before the code's own settings.
/// </summary>
public sealed class RaftKitOptions
{
    private readonly SortedDictionary<string, FeatureRange> _features = new(StringComparer.Ordinal);

    /// <summary>
    /// Which member this process is: 1 to 255, unique in the cluster, never changed once there is data. 1 by default. An observer has a
    /// number from 256 to 1255, as unique.
    /// </summary>
    public int Member { get; set; } = 1;

    /// <summary>
    /// Whether this process is one of the quorum's members, or observes it: any number of processes, up to a thousand, may. A member by
    /// default.
    /// </summary>
    public QuorumRole Role { get; set; }

    /// <summary>
    /// Every member of the quorum and where it listens, this one included: <c>"1" -> "10.0.0.1:7420"</c>. The same on all members. Empty by
    /// default: this process alone. An odd number survives the loss of the smaller half: three of one, five of two. For an observer: the
    /// members that it asks to be fed, without itself; one that can be reached is enough, and it learns of the others. Once the members were
    /// changed (<see cref="RaftKit.Node.Members.IQuorumMembership"/>), the log says who is one and where each listens; a member's own entry
    /// here still says where it listens itself.
    /// </summary>
    public IDictionary<string, string> Members { get; } = new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>
    /// Where the log, the snapshots and this member's identity live; a relative path is under the application's content root. One process
    /// at a time may use it (a lock says so). <c>raftkit-data</c> by default. Put it on a local disk: its fsync is what "durable" means.
    /// </summary>
    public string DataDirectory { get; set; } = "raftkit-data";

    /// <summary>
    /// The address and port to listen on, where it differs from this member's endpoint in <see cref="Members"/> (behind address
    /// translation, or to bind all addresses: <c>*:7420</c>). Null by default: this member's endpoint.
    /// </summary>
    public string? Listen { get; set; }

    /// <summary>How often the leader tells that it lives. 30 ms by default.</summary>
    public TimeSpan HeartbeatInterval { get; set; } = TimeSpan.FromMilliseconds(30);

    /// <summary>
    /// A member campaigns after one to two of these without hearing from the leader. 200 ms by default, at least 3 heartbeats. A member
    /// whose process died is noticed sooner, by its closed connection; this is for machines and networks that fall silent.
    /// </summary>
    public TimeSpan ElectionTimeout { get; set; } = TimeSpan.FromMilliseconds(200);

    /// <summary>
    /// For how long a member that answers the leader's heartbeat lets nobody else lead, so that the leader can answer reads with <see
    /// cref="RaftKit.Node.Reads.ReadConsistency.LinearizableByLease"/> without asking a quorum. Zero by default: off. Otherwise at least 2
    /// heartbeats and at most the election timeout; the same on all members (one with less gives no promise to a leader that asks for
    /// more). The price: after the leader's death nobody else is elected before the promises ran out, and a member that restarts waits as
    /// long before it votes.
    /// </summary>
    public TimeSpan LeaderLease { get; set; }

    /// <summary>
    /// How much the clock of any member may run faster or slower than true time, as a fraction of it; what leader leases and bounded
    /// staleness allow for. 0.01 by default (1 %), at most 0.5. The clock is CLOCK_BOOTTIME, which counts on while a machine is suspended.
    /// A hypervisor that stops a guest together with its clock, and does not set that clock on when the guest resumes, keeps no such bound:
    /// leave <see cref="LeaderLease"/> off there.
    /// </summary>
    public double ClockDrift { get; set; } = 0.01;

    /// <summary>
    /// How long the quorum waits for a silent session before it expires it and removes its ephemerals, unless the session asks for another
    /// time. 6 seconds by default; at least 4 election timeouts, so that a failover costs nobody a session.
    /// </summary>
    public TimeSpan SessionTimeout { get; set; } = TimeSpan.FromSeconds(6);

    /// <summary>
    /// Whether a process of another machine (or pid namespace: a container) counts as dead once its connections ended without a goodbye and
    /// its port refused new ones for 20 ms, so that its sessions end at once instead of after <see cref="SessionTimeout"/>. False by
    /// default, because it is no proof: a process that lives and cannot be reached may believe in its lease until that runs out, while
    /// others own what it owned already, and only fencing tokens keep the two apart. What the leader of the moment is told counts, so give
    /// all members the same. Processes of one machine need it not: their end is proven.
    /// </summary>
    public bool ExpireOnRefusedConnection { get; set; }

    /// <summary>
    /// A snapshot is taken, and the log before it dropped, after this many entries... 200,000 by default. While a member or an observer is
    /// being sent one, up to eight times as many (and as many bytes) may come first: a newer snapshot would start that over.
    /// </summary>
    public long SnapshotEveryEntries { get; set; } = 200_000;

    /// <summary>...or after this many bytes of them, whichever comes first. 64 MiB by default.</summary>
    public long SnapshotEveryBytes { get; set; } = 64L << 20;

    /// <summary>
    /// How long a graceful stop may take for closing sessions and for handing leadership over, each, before it goes on without. 2 seconds
    /// by default.
    /// </summary>
    public TimeSpan StopPatience { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>
    /// An operator's word that the configured members may form a new cluster though not all of them answered that they are empty. False by
    /// default. Set it for one start only: if one of the silent ones has data, two clusters come into being. Not against the word of a
    /// member that is of a cluster: such a directory is emptied first.
    /// </summary>
    public bool ForceBootstrap { get; set; }

    /// <summary>
    /// Whether this process, while its data directory is empty, waits to be taken into a cluster that exists, and never forms one: for
    /// every member that is added to a running cluster (<see cref="RaftKit.Node.Members.IQuorumMembership"/>), also when its disk is
    /// replaced later. False by default: all of <see cref="Members"/> together found a cluster if all of them are empty. Two members that
    /// were added, lost their disks, and are configured with each other alone could not tell themselves from founders.
    /// </summary>
    public bool Join { get; set; }

    /// <summary>
    /// As <see cref="Join"/>, and without an operator: while its data directory is empty, this process asks the members that it can reach to
    /// be added, under its <see cref="Member"/> number and at its endpoint in <see cref="Members"/>; a member proposes that, and it learns,
    /// and votes once it has caught up (KIP-853's auto join). False by default: who is to vote is otherwise the operator's decision alone. A
    /// number that belongs to a member at another endpoint is refused, and so is one that was removed, until an operator adds it; the
    /// reason is logged, and the process asks again. What operators want of its number stands: one that they added as a learner stays one.
    /// </summary>
    public bool AutoJoin { get; set; }

    /// <summary>
    /// Whether this member adds processes that ask for it (<see cref="AutoJoin"/>). True by default: whoever can shake hands with members
    /// is trusted, since it could as well speak as one of them; that is what <see cref="Tls"/> is for. False: operators alone add members.
    /// Every member that is asked decides by its own, so give all the same.
    /// </summary>
    public bool AllowAutoJoin { get; set; } = true;

    /// <summary>
    /// Whether this process plays a failover through in memory, once, right after its member has started. True by default. Code is compiled
    /// when it first runs; without a rehearsal the first failover after a start waits for that. It takes one processor for a while (two
    /// seconds on a busy machine); a process that was compiled ahead of time skips it.
    /// </summary>
    public bool RehearseFailover { get; set; } = true;

    /// <summary>TLS between members: each shows a certificate, each checks the other's. Null by default: plain text.</summary>
    public RaftKitTlsOptions? Tls { get; set; }

    /// <summary>
    /// Allows listening on an address other than loopback without TLS: whoever reaches the port can read and write everything. False by
    /// default.
    /// </summary>
    public bool AllowPlainText { get; set; }

    /// <summary>
    /// Declares which levels of a feature of the application this build supports: something that its state machines write or understand
    /// differently from one level to the next. Every feature begins at level 1, also on processes that do not declare it. Declared again,
    /// the later range counts. By code only, since it is a fact of the code. See <see cref="IFeatureLevels"/>.
    /// </summary>
    /// <param name="feature">Its name: 1 to 64 letters, digits, '-', '_' and '.'; never changed once a level of it was finalised.</param>
    /// <param name="min">
    /// The lowest, from 1. A new cluster begins at it; in one whose log holds entries of a lower level, the process takes no part before
    /// they are compacted away.
    /// </param>
    /// <param name="max">The highest.</param>
    /// <exception cref="ArgumentException">There can be no such feature or range, or there are 15 features already.</exception>
    public RaftKitOptions Supports(string feature, int min, int max)
    {
        ArgumentNullException.ThrowIfNull(feature);
        if (FeatureRanges.CheckName(feature) is { } wrong)
            throw new ArgumentException(wrong, nameof(feature));
        if (feature == FeatureRanges.Library)
            throw new ArgumentException(
                $"'{feature}' is RaftKit's own feature: its levels are those of the package's version. Give yours another name.",
                nameof(feature));
        if (min < 1 || max < min || max > FeatureRanges.GreatestLevel)
            throw new ArgumentException(
                $"Levels {min}..{max} of '{feature}' cannot be: they are from 1 to {FeatureRanges.GreatestLevel}, the lowest first.",
                nameof(min));
        if (!_features.ContainsKey(feature) && _features.Count == FeatureRanges.Most - 1)
            throw new ArgumentException(
                $"There are {FeatureRanges.Most - 1} features already, which is all that a handshake has room for.", nameof(feature));
        _features[feature] = new FeatureRange(min, max);
        return this;
    }

    /// <summary>What was declared.</summary>
    internal FeatureRanges Features => new(_features);

    /// <summary>Where this member listens, once defaults are filled in.</summary>
    internal string ListenEndpoint => Role == QuorumRole.Observer ? "" : Listen
        ?? (Members.TryGetValue(Member.ToString(CultureInfo.InvariantCulture), out var own) ? own : Endpoint.Loopback);
}
