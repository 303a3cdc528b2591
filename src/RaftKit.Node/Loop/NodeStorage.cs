using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Node.Members;

namespace RaftKit.Node.Loop;

/// <summary>This member's directory: whose it is, its log and its snapshots; opened, formed or joined.</summary>
/// <param name="directory">Where it is.</param>
/// <param name="options">Whose it is to be, and how its log is kept.</param>
/// <param name="applier">Takes the state that it holds.</param>
/// <param name="readError">Hears of reads that the disk answered with an error.</param>
/// <param name="rotMet">Hears of entries that cannot be read any more, while the member runs, and of the segment that they stand in.</param>
internal sealed class NodeStorage(
    ILogDirectory directory, NodeLoopOptions options, Applier applier, Action<string> readError, Action<string, long> rotMet) : IDisposable
{
    private readonly UnreadableAsRot _readable = new(directory, readError);
    private IDisposable? _lock;
    private SegmentedLog? _log;

    /// <summary>Null while the directory is empty.</summary>
    public DirectoryIdentity? Identity { get; private set; }

    public SegmentedLog Log => _log ?? throw new InvariantBrokenException("the log is used before it is open");

    public SnapshotStore Snapshots { get; private set; } = null!;

    /// <summary>What others told of their disks.</summary>
    public WitnessFile Witness => field ??= new WitnessFile(_readable);

    public IReadOnlyList<PeerBoot> RememberedBoots { get; private set; } = [];

    /// <summary>
    /// Where members are to listen if all that the log held at the start is committed, also such as left again: until that is known, it
    /// serves to find the others, whose votes it takes to know.
    /// </summary>
    public IReadOnlyDictionary<MemberId, string> EndpointsInLog => _endpoints;

    /// <summary>The last entry that changed them.</summary>
    public (LogIndex Index, Term Term) LastChangeInLog { get; private set; }

    private readonly Dictionary<MemberId, string> _endpoints = [];

    /// <summary>What of log and snapshots was not as it was written; empty if nothing that was read.</summary>
    public string Rot { get; private set; } = "";

    /// <summary>How often the disk answered a read of log or snapshots with an error.</summary>
    public int ReadErrorCount => _readable.ErrorCount;

    /// <summary>For how long what earlier starts promised a leader may still hold.</summary>
    public TimeSpan PromisedBefore { get; private set; }

    /// <summary>Takes the directory.</summary>
    /// <returns>Whether it has an owner; otherwise it is empty.</returns>
    public bool Open()
    {
        OwnNames.Check(directory);
        _lock = directory.Lock();
        Identity = IdentityFile.Open(directory, options.Self);
        PromisedBefore = Identity?.LongestPromise ?? default;
        if (Identity is null)
            FirstStart.Check(_readable);
        return Identity is not null;
    }

    /// <summary>
    /// Reads back what is durable, into the state machines and for the core. Counts the start, durably, before anybody hears of it: an
    /// older number shows a directory that was rolled back.
    /// </summary>
    /// <param name="now">
    /// Unix milliseconds. An observer counts its starts by them, since nobody remembers them durably: an old copy of its directory must not
    /// number its proposals as it did before.
    /// </param>
    public RestoredState Recover(long now) => Recover(lastBatch =>
        Identity = IdentityFile.CountStart(directory, Identity!, lastBatch, options.VoterPromise, options.Self.IsObserver ? now : 0));

    private RestoredState Recover(Action<long>? beforeChanges)
    {
        var recovered = OpenLog(beforeChanges);
        RememberedBoots = recovered.PeerBoots;
        Rot = Told(recovered.Rot);
        var membership = Membership.Empty;
        var at = LogIndex.Zero;
        if (recovered.Snapshot is { } mark)
        {
            Restore(mark);
            (membership, at) = (mark.Membership, mark.Index);
        }
        var table = applier.Members.Copy();
        NoteEndpoints(table);
        foreach (var entry in recovered.Entries)
        {
            if (entry.Kind == EntryKind.Membership)
            {
                (membership, at) = (MembershipCodec.Decode(entry.Payload.Span), entry.Index);
                table.Note(membership);
            }
            else if (MembershipChange.In(entry) is { } change)
            {
                table.Apply(change, membership);
                NoteEndpoints(table);
                LastChangeInLog = (entry.Index, entry.Term);
            }
        }
        return new RestoredState(
            recovered.Term, recovered.Vote, membership, at, recovered.Snapshot, recovered.Entries) { RottenEnd = recovered.RottenEnd };
    }

    private void NoteEndpoints(MemberTable table)
    {
        foreach (var (id, wanted) in table.Wanted)
        {
            if (wanted.Endpoint.Length > 0)
                _endpoints[id] = wanted.Endpoint;
        }
    }

    private RecoveredLog OpenLog(Action<long>? beforeChanges)
    {
        try
        {
            Snapshots = SnapshotStore.Open(_readable);
            // An identity says that there was a log: without one, a vote was lost, and must not be given again.
            _log = SegmentedLog.Open(_readable, options.Log with { MustExist = true }, Snapshots, out var recovered, beforeChanges);
            _log.RotMet = rotMet;
            return recovered;
        }
        catch (LogCorruptException corrupt) when (_readable.ErrorCount > 0)
        {
            throw new LogCorruptException(Told(corrupt.Message), corrupt);
        }
    }

    // An error that passed is no rot: it is in the log already.
    private string Told(string rot) => rot.Length == 0 || _readable.ErrorCount == 0 ? rot : $"{rot} {_readable.Errors}";

    /// <summary>
    /// Makes this an initial member of a new cluster. Every founder writes the same first entry, so that their logs agree from the start.
    /// </summary>
    public RestoredState Form()
    {
        var founders = options.Members.Keys.Order().ToList();
        Identity = new DirectoryIdentity(options.Self, 1, 1, Guid.Empty, founders) { LongestPromise = options.VoterPromise };
        var membership = new Membership(founders.Select(m => new MemberIncarnation(m, 1)), [], []);
        var first = new Entry(new Term(1), new LogIndex(1), EntryKind.Membership, 0, MembershipCodec.Encode(membership));
        return Begin(new LogBatch { Term = new Term(1), Vote = MemberId.None, Entries = [first] });
    }

    /// <summary>Makes this a member of an existing cluster, under the incarnation that was committed for it.</summary>
    public RestoredState Join(Guid clusterId, int incarnation, Term term)
    {
        Identity = new DirectoryIdentity(options.Self, incarnation, 1, clusterId, []) { LongestPromise = options.VoterPromise };
        return Begin(new LogBatch { Term = term, Vote = MemberId.None });
    }

    /// <summary>The first committed command named the cluster.</summary>
    public void NameCluster(Guid clusterId)
    {
        Identity = Identity! with { ClusterId = clusterId };
        IdentityFile.Write(directory, Identity);
    }

    /// <summary>Others found that this directory is an old copy: no start in it takes part any more.</summary>
    public void MarkRolledBack(string reason)
    {
        Identity = Identity! with { RolledBack = reason };
        IdentityFile.Write(directory, Identity);
    }

    public void Dispose()
    {
        _log?.Dispose();
        Snapshots?.Dispose();
        Witness.Dispose();
        _lock?.Dispose();
    }

    private RestoredState Begin(LogBatch first)
    {
        // The log comes before the identity: a crash between the two leaves a directory that still counts as empty, and has nothing else
        // (see FirstStart).
        foreach (var leftover in directory.List())
            directory.Delete(leftover);
        using (var log = SegmentedLog.Open(directory, options.Log, out _))
        {
            log.Write(first);
            log.Sync();
        }
        IdentityFile.Write(directory, Identity!);
        return Recover(beforeChanges: null);
    }

    private void Restore(SnapshotMark mark)
    {
        var router = new FrameRouter(applier, mark.Index);
        foreach (var (section, frame) in Snapshots.OpenFrames(mark))
            router.Frame(section, frame);
        router.Complete(applier.Context(mark));
        applier.JumpTo(mark);
    }
}
