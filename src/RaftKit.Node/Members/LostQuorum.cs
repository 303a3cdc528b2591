using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;

namespace RaftKit.Node.Members;

/// <summary>
/// Makes the member of one directory the whole quorum of its cluster, while nobody uses that directory. Two entries go behind its log: a
/// membership in which it alone votes and everybody else is a learner under a later life, and the epoch break. The rest is done by what is
/// there already: it elects itself, commits what its log holds, refuses the old lives, and takes in whoever comes back with an empty
/// directory.
/// </summary>
internal sealed class LostQuorum : IDisposable
{
    private readonly IDisposable _lock;
    private readonly SnapshotStore _snapshots;
    private readonly SegmentedLog _log;
    private readonly RecoveredLog _recovered;
    private readonly Applier _applier = new([], new PendingProposals(1, 1));

    private LostQuorum(ILogDirectory directory, IDisposable taken, SegmentedLogOptions options)
    {
        _lock = taken;
        Identity = IdentityFile.Read(directory)
            ?? throw new DirectoryMismatchException(
                $"{directory.Location} is empty: it belongs to no member yet. Name the directory of the survivor that is to go on.");
        if (Identity.Member.IsObserver)
        {
            throw new DirectoryMismatchException(
                $"{directory.Location} belongs to observer {Identity.Member}: it has no vote, and may lack what was acknowledged. Nothing was changed. Force a voter's directory; if none is left, keep a copy of this one, "
                + "and start a new cluster from what the application can export of it.");
        }
        // Not even an operator's word: it may have forgotten votes and entries that another copy holds.
        IdentityFile.Open(directory, Identity.Member);
        // As a start reads it: what the disk cannot read may be what nobody needs.
        var readable = new UnreadableAsRot(directory);
        _snapshots = SnapshotStore.Open(readable);
        try
        {
            _log = OpenLog(readable, options, out _recovered);
            if (_recovered.RottenEnd is { } rotten)
            {
                throw new LogCorruptException(
                    $"{_recovered.Rot} {readable.Errors}{(readable.ErrorCount > 0 ? " " : "")}The log in {directory.Location} ended at {rotten} and can be read only up to {_recovered.Entries.LastOrDefault().Index}: what is behind that was acknowledged, perhaps, and would be "
                    + "given up. Force another survivor, or empty this directory and let the member join that one's quorum.");
            }
            ReadState();
        }
        catch
        {
            // The lock is its owner's until this is made.
            _log?.Dispose();
            _snapshots.Dispose();
            throw;
        }
    }

    public DirectoryIdentity Identity { get; }

    public Guid ClusterId => _applier.ClusterId != Guid.Empty ? _applier.ClusterId : Identity.ClusterId;

    /// <summary>The newest in the log, committed or not.</summary>
    public Membership Membership { get; private set; } = Membership.Empty;

    public RecoveryEpoch Epoch { get; private set; } = RecoveryEpoch.First;

    public Term LastTerm { get; private set; }

    public LogIndex LastIndex { get; private set; }

    public Term Term => _recovered.Term;

    /// <exception cref="DirectoryInUseException">A member runs in it.</exception>
    /// <exception cref="DirectoryMismatchException">It is empty, or an observer's.</exception>
    /// <exception cref="LogCorruptException">It does not read back.</exception>
    public static LostQuorum Open(ILogDirectory directory, SegmentedLogOptions? options = null)
    {
        OwnNames.Check(directory);
        var taken = directory.Lock();
        try
        {
            return new LostQuorum(directory, taken, options ?? new SegmentedLogOptions());
        }
        catch
        {
            taken.Dispose();
            throw;
        }
    }

    /// <summary>Everybody that this member's newest membership names.</summary>
    public IReadOnlyList<int> Members => [.. Membership.All.Select(m => m.Value)];

    /// <summary>The term of a break that is made here.</summary>
    public Term BreakTerm => new(Math.Max(Term.Value, LastTerm.Value) + RecoveryEpoch.TermsAhead);

    /// <summary>Writes the break, durably.</summary>
    /// <returns>The zxid of the epoch break: every later one is higher.</returns>
    public long Force()
    {
        if (LastIndex == LogIndex.Zero)
            throw new DirectoryMismatchException(
                $"Member {Identity.Member} joined, and had heard nothing of its cluster yet: there is nothing to go on with. Nothing was changed. Force another survivor.");
        var known = EpochKnown();
        if (known >= RecoveryEpoch.Most)
            throw new InvalidOperationException(
                $"Cluster {ClusterId} was forced {RecoveryEpoch.Most} times: no zxid is left for another epoch.");
        var first = (known + 1) * RecoveryEpoch.LivesOfEpoch + 1;
        var self = new MemberIncarnation(Identity.Member, Identity.Incarnation);
        var others = Membership.All.Where(id => id != self.Id)
            .Select(id => new MemberIncarnation(id, Math.Max(Membership.IncarnationOf(id)!.Value.Incarnation + 1, first))).ToList();
        var membership = new Membership([self], others, []);
        var epoch = new RecoveryEpoch(known + 1, [.. others.Select(o => new MemberIncarnation(o.Id, o.Incarnation - 1))]);
        var term = BreakTerm;
        var stamp = _recovered.Entries.Count > 0 ? _recovered.Entries[^1].Stamp : _recovered.Snapshot?.Stamp ?? 0;
        _log.Write(new LogBatch
        {
            Term = term,
            Vote = MemberId.None,
            Entries =
            [
                new Entry(term, LastIndex.Next, EntryKind.Membership, stamp, MembershipCodec.Encode(membership)),
                new Entry(term, LastIndex.Next.Next, EntryKind.Command, stamp, epoch.ToCommand()),
            ],
        });
        _log.Sync();
        return epoch.ZxidOf(LastIndex.Next.Next);
    }

    /// <summary>
    /// One that joined after an earlier break may not have that part of the log yet, and would give its epoch, and zxids, a second time
    /// (simulator seed 358). The term it has from the first that it was sent, and every break went so far ahead with it.
    /// </summary>
    private int EpochKnown() =>
        (int)Math.Max(Epoch.Epoch, Math.Min(Math.Max(Term.Value, LastTerm.Value) >> RecoveryEpoch.TermBits, RecoveryEpoch.Most - 1));

    public void Dispose()
    {
        _log.Dispose();
        _snapshots.Dispose();
        _lock.Dispose();
    }

    private SegmentedLog OpenLog(UnreadableAsRot readable, SegmentedLogOptions options, out RecoveredLog recovered)
    {
        try
        {
            return SegmentedLog.Open(readable, options with { MustExist = true }, _snapshots, out recovered);
        }
        catch (LogCorruptException corrupt) when (readable.ErrorCount > 0)
        {
            throw new LogCorruptException($"{corrupt.Message} {readable.Errors}");
        }
    }

    // What only the log knows: which entries are committed does not matter, for all of them are about to be.
    private void ReadState()
    {
        if (_recovered.Snapshot is { } mark)
        {
            foreach (var frame in _snapshots.OpenFrames(mark))
            {
                if (frame.Section == Applier.NodeSection)
                    _applier.ReadNodeFrame(frame.Bytes);
            }
            (Membership, Epoch, LastTerm, LastIndex) = (mark.Membership, _applier.Recovery, mark.Term, mark.Index);
        }
        foreach (var entry in _recovered.Entries)
        {
            if (entry.Kind == EntryKind.Membership)
                Membership = MembershipCodec.Decode(entry.Payload.Span);
            else if (entry.Kind == EntryKind.Command && Applier.RecoveryOf(entry) is { } recovery)
                Epoch = recovery;
            (LastTerm, LastIndex) = (entry.Term, entry.Index);
        }
    }
}
