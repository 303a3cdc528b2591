using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>
/// The log as segments of pages (README.md has the format). <see cref="Write"/>, <see cref="Sync"/> and <see cref="Compact"/> belong to the
/// log lane; <see cref="Read"/> may run beside them on the loop. A failed write or sync ends it: nothing is retried, because after a
/// failed fsync nobody can tell what is on the disk.
/// </summary>
internal sealed class SegmentedLog : ILogStore
{
    private static readonly byte[] Zeros = new byte[1 << 18];

    private readonly ILogDirectory _directory;
    private readonly SegmentedLogOptions _options;
    private readonly EntryIndex _index;
    private readonly PageBuffer _pages = new();
    private readonly RecordWriter _records;
    private readonly SortedDictionary<MemberId, PeerBoot> _boots = [];
    private readonly List<(int Offset, int Length)> _written = [];

    // Oldest first; the last one is being written. Log lane only: readers reach segments through the places in the index.
    private readonly List<Segment> _segments;
    private Segment? _active;
    private LogPosition _end;
    private bool _headerDue;
    private long _batch;
    private long _floor;
    private bool _unsynced;
    private Term _term;
    private MemberId _vote;
    private Segment? _next;
    private ILogFile? _unfinished;
    private long _filled;
    private long _lastNumber;
    private Exception? _failure;
    private LogIndex? _nextBefore;
    private LogEnd? _rottenEnd;

    private SegmentedLog(ILogDirectory directory, SegmentedLogOptions options, LogRecovery found)
    {
        _directory = directory;
        _options = options;
        _records = new RecordWriter(_pages);
        _segments = found.Segments;
        _end = found.End;
        _batch = found.LastBatch;
        _floor = found.End.Batch;
        _lastNumber = found.LastSegment;
        _next = found.Unused;
        // The log as its durable part leaves it: that is where the fresh segment's header goes on. What it means is the matter of the batch
        // behind that.
        (_nextBefore, _term, _vote, var boots) = found.Durable;
        foreach (var boot in boots)
            _boots[boot.Member] = boot;
        _index = new EntryIndex(found.State.First);
        foreach (var place in found.State.Places)
            _index.Add(place);
    }

    /// <summary>The first entry that can be read.</summary>
    public LogIndex First => _index.First;

    /// <summary>The index of the next entry to be written.</summary>
    public LogIndex Next => _index.Next;

    public long LastBatch => _batch;

    /// <summary>How many files hold the log, the prepared one not counted.</summary>
    public int SegmentCount => _segments.Count;

    /// <summary>Opens the log with the directory's own snapshots.</summary>
    public static SegmentedLog Open(ILogDirectory directory, SegmentedLogOptions options, out RecoveredLog recovered)
    {
        using var snapshots = SnapshotStore.Open(directory);
        return Open(directory, options, snapshots, out recovered);
    }

    /// <summary>
    /// Reads the log, cuts what is torn behind its last whole batch, and goes on in a fresh segment that says where the old ones end: a
    /// torn page is never written over, and can never come back. When this returns, everything it found is durable.
    /// </summary>
    /// <param name="directory">Where it lives.</param>
    /// <param name="options">Sizes.</param>
    /// <param name="snapshots">The snapshots beside it.</param>
    /// <param name="recovered">What was found.</param>
    /// <param name="beforeChanges">Hears where the last run left the log, once everything is read and before anything is written.</param>
    /// <exception cref="LogCorruptException">Something durable does not read back. Nothing was changed.</exception>
    /// <exception cref="UnknownFormatException">A newer version wrote it. Nothing was changed.</exception>
    /// <exception cref="LogFailedException">The disk refused. What was durable still is.</exception>
    public static SegmentedLog Open(
        ILogDirectory directory, SegmentedLogOptions options, SnapshotStore snapshots, out RecoveredLog recovered,
        Action<long>? beforeChanges = null)
    {
        var found = LogRecovery.Read(directory);
        try
        {
            found.Settle(snapshots.Newest);
        }
        catch
        {
            found.Close();
            throw;
        }
        var log = new SegmentedLog(directory, options, found);
        try
        {
            recovered = log.Recover(found, snapshots, beforeChanges);
            return log;
        }
        catch
        {
            log.Dispose();
            throw;
        }
    }

    public void Write(LogBatch batch)
    {
        ThrowIfFailed();
        Check(batch);
        if (IsEmpty(batch))
            return;
        try
        {
            Encode(batch);
            if (_active is null || _pages.Pages > _active.Pages - _active.NextPage)
            {
                Roll(_pages.Pages + 1);
                Encode(batch);
            }
            WritePages();
        }
        catch (Exception failure)
        {
            throw Fail(failure);
        }
        Publish(batch);
    }

    public void Sync()
    {
        ThrowIfFailed();
        if (!_unsynced)
            return;
        try
        {
            SyncActive();
            PrepareNext();
        }
        catch (Exception failure)
        {
            throw Fail(failure);
        }
    }

    public void Compact(LogIndex upTo)
    {
        ThrowIfFailed();
        // A cut or reset that is not yet durable must not make the entries that it voids look superfluous.
        Sync();
        try
        {
            var gone = 0;
            while (gone < _segments.Count - 1 && _segments[gone].LastIndex <= upTo)
                gone++;
            if (gone == 0)
                return;

            // First the index: from here on nobody is sent to a segment that goes. Oldest first, so that no crash leaves a gap in the
            // middle.
            _index.DropBefore(_segments[gone - 1].LastIndex.Next);
            for (var i = 0; i < gone; i++)
            {
                _segments[i].Dispose();
                _directory.Delete(Segment.NameOf(_segments[i].Number));
            }
            _segments.RemoveRange(0, gone);
        }
        catch (Exception failure)
        {
            throw Fail(failure);
        }
    }

    public void Read(LogIndex from, LogIndex last, int maxBytes, List<Entry> into)
    {
        var places = new List<EntryPlace>();
        _index.Copy(from, last, maxBytes, places);
        EntryFetcher.Fetch(_directory.Location, from, places, into);
    }

    /// <inheritdoc/>
    public bool TryRead(LogIndex from, LogIndex last, int maxBytes, List<Entry> into)
    {
        var before = into.Count;
        try
        {
            Read(from, last, maxBytes, into);
            return true;
        }
        catch (LogCorruptException rot)
        {
            // A run of neighbours is read as one: what stands before the rotten entry is whole, and is tried by itself.
            into.RemoveRange(before, into.Count - before);
            if (last > from)
                return maxBytes > PageFormat.PageSize ? TryRead(from, last, maxBytes / 2, into) : TryRead(from, from, maxBytes, into);
            RotMet?.Invoke(rot.Message, SegmentOf(from));
            return false;
        }
    }

    /// <summary>
    /// Hears of entries that were whole when this log was opened and are not any more, with the number of their segment; on the reading
    /// thread.
    /// </summary>
    public Action<string, long>? RotMet { private get; set; }

    /// <summary>
    /// Goes on in a fresh segment if that one is being written. What rots there may take a vote along that nothing later repeats, and so
    /// the right to vote; the next segment's header repeats it. Durable when this returns. Log lane only.
    /// </summary>
    public void RollFrom(long segment)
    {
        ThrowIfFailed();
        if (_active!.Number != segment)
            return;
        try
        {
            BeginSegment(new LogBatch { Term = _term, Vote = _vote });
            SyncActive();
        }
        catch (Exception failure)
        {
            throw Fail(failure);
        }
    }

    public void Dispose()
    {
        foreach (var segment in _segments)
            segment.Dispose();
        _next?.Dispose();
        _unfinished?.Dispose();
    }

    /// <summary>No entry in these segments counts from this index on.</summary>
    internal static void EndBefore(List<Segment> segments, LogIndex next)
    {
        foreach (var segment in segments)
            segment.LastIndex = LogIndex.Min(segment.LastIndex, next.Previous);
    }

    private RecoveredLog Recover(LogRecovery found, SnapshotStore snapshots, Action<long>? beforeChanges)
    {
        var state = found.State;
        if (!found.Begun && (snapshots.Newest is not null || _options.MustExist))
            throw new LogCorruptException(
                $"{_directory.Location} has no log, but {(snapshots.Newest is { } s ? $"a snapshot of entry {s.Index}" : "this member has lived before")}: "
                + "its term and vote are lost, so it must not vote again under its old incarnation. Empty the directory and let the member join anew.");

        var snapshot = snapshots.Newest;
        var covered = snapshot?.Index ?? LogIndex.Zero;
        // Else it was installed, and the crash came before the log was told: it starts anew behind it (Raft 7).
        if (snapshot is not null && !found.Agrees(snapshot))
            found.GoOnBehind(snapshot);
        var rest = found.Rest;
        _rottenEnd = state.RottenEnd;

        beforeChanges?.Invoke(found.RunEnd);
        // One batch, and so all of it or nothing: once the fresh segment is begun, the old tail counts no more.
        Write(rest);
        if (_active is null)
        {
            // Nothing to write again: the fresh segment still has to say where the old ones end.
            BeginSegment(rest);
        }
        SyncActive();
        _directory.Sync();
        foreach (var name in found.Leftovers)
        {
            // Until the leader has given back what rotted, a person may want to look for it.
            if (state.RottenEnd is null || !Segment.TryParse(name, out _))
                _directory.Delete(name);
        }
        snapshots.DeleteUnfinished();

        var after = (int)Math.Max(0, covered.Next - state.First);
        return new RecoveredLog(state.Term, state.Vote, snapshot, state.Entries[after..], state.Boots)
        {
            RottenEnd = state.RottenEnd,
            Rot = string.Join(' ', [snapshots.Damage.TrimEnd(), .. found.Rot]).Trim(),
        };
    }

    private void Check(LogBatch batch)
    {
        Invariant.Holds(batch.Term >= _term, $"term fell from {_term} to {batch.Term}");
        Invariant.Holds(
            batch.Term > _term || _vote.IsNone || batch.Vote == _vote, $"the vote in term {_term} changed from {_vote} to {batch.Vote}");
        var next = batch.ResetTo is { } mark ? mark.Index.Next : _index.Next;
        if (batch.TruncateFrom is { } from)
        {
            Invariant.Holds(from <= next, $"a cut from {from} leaves a gap, the log ends before {next}");
            next = from;
        }
        for (var i = 0; i < batch.Entries.Count; i++)
        {
            var entry = batch.Entries[i];
            Invariant.Holds(entry.Index == next, $"entry {entry.Index} was appended where {next} comes next");
            Invariant.Holds(entry.Term <= batch.Term, $"entry {entry.Index} is of term {entry.Term}, the current term is {batch.Term}");
            next = next.Next;
        }
    }

    private bool IsEmpty(LogBatch batch) =>
        batch.Term == _term && batch.Vote == _vote && batch.ResetTo is null && batch.TruncateFrom is null
        && batch.Entries.Count == 0 && batch.PeerBoots.Count == 0;

    private void Encode(LogBatch batch)
    {
        _pages.Begin();
        _written.Clear();
        if (_headerDue)
        {
            _records.Header(
                new SegmentHeader(_active!.Number, _active.Pages, _end, _nextBefore ?? _index.Next, _term, _vote, [.. _boots.Values]));
            if (_rottenEnd is { } rotten)
                _records.RottenEnd(rotten);
        }
        if (batch.Term != _term || batch.Vote != _vote)
            _records.HardState(batch.Term, batch.Vote);
        if (batch.ResetTo is { } mark)
            _records.Reset(mark);
        if (batch.TruncateFrom is { } from)
            _records.Truncate(from);
        for (var i = 0; i < batch.Entries.Count; i++)
        {
            var start = _pages.Position;
            _records.Entry(batch.Entries[i]);
            _written.Add((start, _pages.Position - start));
        }
        for (var i = 0; i < batch.PeerBoots.Count; i++)
            _records.Boot(batch.PeerBoots[i]);
    }

    private void BeginSegment(LogBatch batch)
    {
        Roll(1);
        Encode(batch);
        WritePages();
        Publish(batch);
    }

    private long SegmentOf(LogIndex entry)
    {
        var places = new List<EntryPlace>();
        _index.Copy(entry, entry, 0, places);
        return places[0].Segment.Number;
    }

    private void WritePages()
    {
        var active = _active!;
        var bytes = _pages.Seal(active.Number, active.NextPage, ++_batch, _floor);
        _unsynced = true;
        active.File.Write((long)active.NextPage * PageFormat.PageSize, bytes);
        if (_headerDue)
            active.LastIndex = _index.Next.Previous;
        _headerDue = false;
        _nextBefore = null;
    }

    /// <summary>The batch is written: from here on its entries can be read.</summary>
    private void Publish(LogBatch batch)
    {
        var active = _active!;
        _term = batch.Term;
        _vote = batch.Vote;
        if (batch.ResetTo is { } mark)
        {
            _index.Reset(mark.Index.Next);
            EndBefore(_segments, mark.Index.Next);
        }
        if (batch.TruncateFrom is { } from)
        {
            _index.Truncate(from);
            EndBefore(_segments, from);
        }
        var origin = active.NextPage * PageFormat.PayloadPerPage;
        foreach (var (offset, length) in _written)
            _index.Add(new EntryPlace(active, origin + offset, length));
        if (batch.Entries.Count > 0)
        {
            active.LastIndex = batch.Entries[^1].Index;
            NoteRepair(new LogEnd(active.LastIndex, batch.Entries[^1].Term));
        }
        else if (batch.ResetTo is { } start)
            NoteRepair(new LogEnd(start.Index, start.Term));
        foreach (var boot in batch.PeerBoots)
            _boots[boot.Member] = boot;
        active.NextPage += _pages.Pages;
        _end = new LogPosition(active.Number, active.NextPage, _batch);
    }

    /// <summary>What rotted was fetched again, or is superseded: segments begun from here on say no more of it.</summary>
    private void NoteRepair(LogEnd end)
    {
        if (_rottenEnd is { } rotten && end.Reaches(rotten))
            _rottenEnd = null;
    }

    private void SyncActive()
    {
        _active!.File.Sync();
        _unsynced = false;
        _floor = _batch;
    }

    /// <summary>
    /// Goes on in another segment. What is in this one is synced first: a segment that was begun proves that the one before it is whole.
    /// </summary>
    private void Roll(int pagesNeeded)
    {
        if (_unsynced)
            SyncActive();
        if (_next is not null && _next.Pages < pagesNeeded)
        {
            _next.Dispose();
            _directory.Delete(Segment.NameOf(_next.Number));
            _next = null;
        }
        if (_next is null)
            FillNext(long.MaxValue, (long)pagesNeeded * PageFormat.PageSize);
        _active = _next!;
        _segments.Add(_active);
        _next = null;
        _headerDue = true;
    }

    /// <summary>
    /// Fills some more of the next segment with zeros: twice as far ahead as this one is full, so that no writer waits for a whole
    /// segment of them. What is filled is synced piece by piece, so that no later fdatasync has to carry much of it.
    /// </summary>
    private void PrepareNext()
    {
        if (_next is null)
            FillNext(_options.PrepareBytes + 2 * NextSize() * _active!.NextPage / _active.Pages, 0);
    }

    private void FillNext(long wanted, long leastSize)
    {
        if (_unfinished is null)
        {
            _lastNumber++;
            _filled = 0;
            _unfinished = _directory.Create(Segment.UnfinishedNameOf(_lastNumber), 0);
        }

        var size = Math.Max(Math.Max(NextSize(), leastSize), _filled);
        wanted = Math.Min(wanted, size);
        if (_filled >= wanted && _filled < size)
            return;
        while (_filled < wanted)
        {
            var piece = (int)Math.Min(Zeros.Length, Math.Min(_options.PrepareBytes, size - _filled));
            _unfinished.Write(_filled, Zeros.AsSpan(0, piece));
            _filled += piece;
        }
        _unfinished.Sync();
        if (_filled < size)
            return;

        // Only a file that is zero to its end, durably, gets a segment's name: a shorter one under that name was cut.
        _unfinished.Dispose();
        _unfinished = null;
        _directory.Rename(Segment.UnfinishedNameOf(_lastNumber), Segment.NameOf(_lastNumber));
        _directory.Sync();
        _next = new Segment(_lastNumber, _directory.Open(Segment.NameOf(_lastNumber)), (int)(size / PageFormat.PageSize));
    }

    private long NextSize()
    {
        var size = _active is null ? _options.FirstSegmentBytes : (long)_active.Pages * PageFormat.PageSize * 4;
        size = Math.Max(Math.Min(size, _options.SegmentBytes), 2 * PageFormat.PageSize);
        return (size + PageFormat.PageSize - 1) / PageFormat.PageSize * PageFormat.PageSize;
    }

    private void ThrowIfFailed()
    {
        if (_failure is not null)
            throw new LogFailedException(
                $"The log in {_directory.Location} failed before and takes nothing more: {_failure.Message}", _failure);
    }

    private LogFailedException Fail(Exception failure)
    {
        _failure ??= failure;
        return failure as LogFailedException
            ?? new LogFailedException($"The log in {_directory.Location} cannot go on: {failure.Message}", failure);
    }
}
