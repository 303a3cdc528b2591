using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>
/// Finds what the files still say. Changes nothing: it tells which batches are surely durable, which whole ones behind them were read
/// but may be durable or not, and which files count no more; <see cref="SegmentedLog.Open(ILogDirectory, SegmentedLogOptions, SnapshotStore, out RecoveredLog, Action{long})"/>
/// then writes the log on in a fresh segment.
/// </summary>
internal sealed class LogRecovery
{
    private readonly ILogDirectory _directory;
    private readonly SortedDictionary<long, string> _files = [];
    private readonly List<SegmentScan> _scans = [];

    private LogRecovery(ILogDirectory directory) => _directory = directory;

    /// <summary>What the surely durable batches say.</summary>
    public LogState State { get; } = new();

    /// <summary>
    /// The whole batches behind them. They were written, and perhaps synced; this process's own fsync is the only one it can rely on (a
    /// failed one of the last process may have left its pages in the cache, marked clean), so they are written again.
    /// </summary>
    private List<LogBatch> Tail { get; } = [];

    /// <summary>The segments that the durable batches stand in, oldest first.</summary>
    public List<Segment> Segments { get; } = [];

    /// <summary>Where the surely durable part ends.</summary>
    public LogPosition End { get; private set; }

    /// <summary>Whether anything was ever logged here. If not, this is a first start, or one that was cut short.</summary>
    public bool Begun { get; private set; }

    /// <summary>The highest segment number that was ever used here, as far as can be seen.</summary>
    public long LastSegment { get; private set; }

    /// <summary>The last batch that is still here, whole; 0 if none.</summary>
    public long LastWhole { get; private set; }

    /// <summary>The highest batch number that was ever used here, as far as can be seen.</summary>
    public long LastBatch { get; private set; }

    /// <summary>A segment that was prepared and never used; null if there is none.</summary>
    public Segment? Unused { get; private set; }

    /// <summary>Files that no longer count: to be deleted once the log is durable without them.</summary>
    public List<string> Leftovers { get; } = [];

    public static LogRecovery Read(ILogDirectory directory)
    {
        var recovery = new LogRecovery(directory);
        try
        {
            recovery.Read();
            return recovery;
        }
        catch
        {
            recovery.Close();
            throw;
        }
    }

    /// <summary>Adds the tail to <see cref="State"/>, and gives it as the one batch that leads there from the durable part.</summary>
    public LogBatch TakeTail()
    {
        var durable = State.Next;
        var low = durable;
        SnapshotMark? reset = null;
        List<PeerBoot> boots = [];
        foreach (var batch in Tail)
        {
            State.Term = batch.Term;
            State.Vote = batch.Vote;
            if (batch.ResetTo is { } mark)
            {
                reset = mark;
                State.Restart(mark.Index.Next);
            }
            if (batch.TruncateFrom is { } from)
            {
                low = LogIndex.Min(low, from);
                State.Truncate(from);
            }
            foreach (var entry in batch.Entries)
            {
                if (entry.Index != State.Next)
                    throw SegmentScan.Corrupt(_directory.Location, _files.Keys.Last(), 0, $"entry {entry.Index} stands where entry {State.Next} should");
                State.Entries.Add(entry);
            }
            boots.AddRange(batch.PeerBoots);
        }
        foreach (var boot in boots)
            State.Remember(boot);

        var keep = (int)(reset is null && low > State.First ? low - State.First : 0);
        return new LogBatch
        {
            Term = State.Term,
            Vote = State.Vote,
            ResetTo = reset,
            TruncateFrom = reset is null && low < durable ? low : null,
            Entries = State.Entries[keep..],
            PeerBoots = boots,
        };
    }

    /// <summary>Closes every file that was not handed on.</summary>
    private void Close()
    {
        foreach (var scan in _scans)
            scan.File.Dispose();
    }

    private void Read()
    {
        foreach (var name in _directory.List())
        {
            if (Segment.TryParse(name, out var number))
                _files.Add(number, name);
            else if (Segment.TryParseUnfinished(name, out number))
                Leftovers.Add(name);
            else
                continue;
            LastSegment = Math.Max(LastSegment, number);
        }

        long floor = 0;
        var head = FindHead(ref floor);
        if (head is null)
        {
            // No segment was ever begun: a first start that was cut short. A floor would tell that one was.
            if (floor > 0)
                throw SegmentScan.Corrupt(_directory.Location, _scans[^1].Number, 0, $"batch {floor} was durable, no whole batch is left");
            Leave([]);
            return;
        }

        Begun = true;
        var chain = FollowBack(head);
        var last = head.Batches[^1].Number;
        LastWhole = last;
        if (last < floor)
            throw SegmentScan.Corrupt(
                _directory.Location, head.Number, (long)head.BreakPage * PageFormat.PageSize, $"{head.Break}, but batch {floor} was durable");

        Replay(chain, floor);
        Leave(Segments);
    }

    /// <summary>The newest segment that was begun: whose first batch is whole. Newer ones were prepared, or torn before anything in them was synced.</summary>
    private SegmentScan? FindHead(ref long floor)
    {
        foreach (var number in _files.Keys.Reverse())
        {
            var scan = Scan(number, null);
            floor = Math.Max(floor, scan.Floor);
            LastBatch = Math.Max(LastBatch, scan.LastBatch);
            if (scan.Batches.Count > 0)
                return scan;
            if (scan.IsUnused && number == _files.Keys.Last())
                Unused = new Segment(number, scan.File, scan.Pages);
        }
        return null;
    }

    /// <summary>The segments before the head, by what each says of the one before it, oldest first, up to where they were compacted.</summary>
    private List<(SegmentScan Scan, SegmentHeader Header)> FollowBack(SegmentScan head)
    {
        List<(SegmentScan, SegmentHeader)> chain = [(head, head.ReadHeader(_directory.Location))];
        for (var previous = chain[0].Item2.Previous; _files.ContainsKey(previous.Segment); previous = chain[0].Item2.Previous)
        {
            var scan = Scan(previous.Segment, previous.EndPage);
            if (scan.EndPage != previous.EndPage || scan.Batches.Count == 0 || scan.Batches[^1].Number != previous.Batch)
                throw SegmentScan.Corrupt(_directory.Location, scan.Number, (long)scan.EndPage * PageFormat.PageSize,
                    $"{scan.Break ?? "its batches end"}, but batch {previous.Batch} was durable");
            chain.Insert(0, (scan, scan.ReadHeader(_directory.Location)));
        }
        return chain;
    }

    private void Replay(List<(SegmentScan Scan, SegmentHeader Header)> chain, long floor)
    {
        State.Start(chain[0].Header);
        End = chain[0].Header.Previous;
        foreach (var (scan, header) in chain)
        {
            if (header.NextIndex != State.Next)
                throw SegmentScan.Corrupt(_directory.Location, scan.Number, 0, $"it begins with entry {header.NextIndex}, the log before it ends before {State.Next}");
            var isHead = scan == chain[^1].Scan;
            Segment? segment = null;
            foreach (var batch in scan.Batches)
            {
                // All of a segment that has a successor was synced before that was begun.
                if (isHead && batch.Number > floor)
                {
                    Tail.Add(Decode(scan, batch, null));
                    continue;
                }
                if (segment is null)
                {
                    segment = new Segment(scan.Number, scan.File, scan.Pages);
                    Segments.Add(segment);
                }
                Decode(scan, batch, segment);
                segment.NextPage = batch.FirstPage + batch.Pages;
                End = new LogPosition(scan.Number, segment.NextPage, batch.Number);
            }
        }
    }

    /// <summary>Reads a batch's records: into <see cref="State"/> when it is durable, and as a batch to write again.</summary>
    private LogBatch Decode(SegmentScan scan, ScannedBatch batch, Segment? durable)
    {
        try
        {
            return Decode(scan.ReadBatch(batch), batch, durable);
        }
        catch (MessagePackSerializationException wrong)
        {
            throw SegmentScan.Corrupt(_directory.Location, scan.Number, (long)batch.FirstPage * PageFormat.PageSize, wrong.Message);
        }
        catch (UnknownFormatException unknown)
        {
            throw unknown.In(_directory.Location, _files[scan.Number]);
        }
    }

    private LogBatch Decode(byte[] payload, ScannedBatch batch, Segment? durable)
    {
        var records = new MessagePackReader(payload);
        var decoded = new BatchRecords(Tail.Count > 0 ? Tail[^1].Term : State.Term, Tail.Count > 0 ? Tail[^1].Vote : State.Vote);
        var from = batch.FirstPage * PageFormat.PayloadPerPage;
        while (!records.End)
        {
            var start = (int)records.Consumed;
            var body = RecordReader.Open(ref records, out var kind);
            decoded.Add(kind, ref body);
            if (durable is not null)
                Apply(kind, decoded, new EntryPlace(durable, from + start, (int)records.Consumed - start));
        }
        if (durable is not null)
        {
            State.Term = decoded.Term;
            State.Vote = decoded.Vote;
        }
        return decoded.ToBatch();
    }

    private void Apply(RecordKind kind, BatchRecords decoded, EntryPlace place)
    {
        switch (kind)
        {
            case RecordKind.Entry:
                var entry = decoded.Entries[^1];
                if (entry.Index != State.Next)
                    throw new MessagePackSerializationException($"entry {entry.Index} stands where entry {State.Next} should");
                State.Entries.Add(entry);
                State.Places.Add(place);
                place.Segment.LastIndex = entry.Index;
                break;
            case RecordKind.Truncate:
                State.Truncate(decoded.TruncateFrom!.Value);
                SegmentedLog.EndBefore(Segments, State.Next);
                break;
            case RecordKind.Reset:
                State.Restart(decoded.ResetTo!.Index.Next);
                SegmentedLog.EndBefore(Segments, State.Next);
                break;
            case RecordKind.PeerBoot:
                State.Remember(decoded.PeerBoots[^1]);
                break;
            case RecordKind.SegmentHeader:
                place.Segment.LastIndex = State.Next.Previous;
                break;
        }
    }

    private SegmentScan Scan(long number, int? endPage)
    {
        var file = _directory.Open(_files[number]);
        try
        {
            var scan = SegmentScan.Read(_directory.Location, number, file, endPage);
            _scans.Add(scan);
            return scan;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Everything but these segments, and the unused one, is left over.</summary>
    private void Leave(List<Segment> kept)
    {
        foreach (var (number, name) in _files)
        {
            if (number != Unused?.Number && kept.All(segment => segment.Number != number))
                Leftovers.Add(name);
        }
        foreach (var scan in _scans)
        {
            if (scan.Number != Unused?.Number && kept.All(segment => segment.Number != scan.Number))
                scan.File.Dispose();
        }
    }

    /// <summary>The records of one batch, gathered.</summary>
    private sealed class BatchRecords(Term term, MemberId vote)
    {
        public Term Term { get; private set; } = term;

        public MemberId Vote { get; private set; } = vote;

        public SnapshotMark? ResetTo { get; private set; }

        public LogIndex? TruncateFrom { get; private set; }

        public List<Entry> Entries { get; } = [];

        public List<PeerBoot> PeerBoots { get; } = [];

        public void Add(RecordKind kind, ref MessagePackReader body)
        {
            switch (kind)
            {
                case RecordKind.SegmentHeader: break;
                case RecordKind.HardState:
                    Term = new Term(body.ReadInt64());
                    Vote = new MemberId(body.ReadInt32());
                    break;
                case RecordKind.Entry: Entries.Add(RecordReader.Entry(ref body)); break;
                case RecordKind.Truncate: TruncateFrom = new LogIndex(body.ReadInt64()); break;
                case RecordKind.Reset: ResetTo = RecordReader.Mark(ref body); break;
                case RecordKind.PeerBoot: PeerBoots.Add(RecordReader.Boot(ref body)); break;
            }
        }

        public LogBatch ToBatch() => new()
        {
            Term = Term, Vote = Vote, ResetTo = ResetTo, TruncateFrom = TruncateFrom, Entries = Entries, PeerBoots = PeerBoots,
        };
    }
}
