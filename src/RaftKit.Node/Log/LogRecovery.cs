using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>
/// Finds what the files still say. Changes nothing: it tells which batches are surely durable, which whole ones behind them were read but
/// may be durable or not, and which files count no more; <see cref="SegmentedLog.Open(ILogDirectory, SegmentedLogOptions, SnapshotStore,
/// out RecoveredLog, Action{long})"/> then writes the log on in a fresh segment.
/// </summary>
internal sealed class LogRecovery
{
    private const int MostReadings = 3;

    private readonly ILogDirectory _directory;
    private readonly SortedDictionary<long, string> _files = [];
    private readonly List<SegmentScan> _scans = [];
    private readonly List<PeerBoot> _tailBoots = [];
    private SnapshotMark? _tailReset;

    private LogRecovery(ILogDirectory directory) => _directory = directory;

    /// <summary>What the batches say; once it is settled, what is left of that.</summary>
    public LogState State { get; } = new();

    /// <summary>
    /// What the surely durable batches say of the index of the next entry, of term, vote and boots: what is behind them is written again.
    /// </summary>
    public (LogIndex Next, Term Term, MemberId Vote, IReadOnlyList<PeerBoot> Boots) Durable { get; private set; } =
        (new(1), default, default, []);

    /// <summary>
    /// The whole batches behind the durable ones, as the one batch that leads from these to <see cref="State"/>. They were written, and
    /// perhaps synced; this process's own fsync is the only one it can rely on (a failed one of the last process may have left its pages in
    /// the cache, marked clean), so they are written again. Where entries rotted it also records that these count no more.
    /// </summary>
    public LogBatch Rest { get; private set; } = null!;

    /// <summary>What was durable, or may have been, and is not what was written: for people.</summary>
    public List<string> Rot { get; } = [];

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

    /// <summary>
    /// Where the last run left the log, as others may hold against it. Numbers skip at each start what was cut before, so those of pages
    /// that rotted cannot be counted from the batch before the segment: where the newest one has nothing but such pages, it is <see
    /// cref="RunEnd.Untold"/>, and no sign of an old copy (simulator seed 946 of 60 s).
    /// </summary>
    public long RunEnd { get; private set; }

    /// <summary>The highest batch number that was ever used here, as far as can be seen.</summary>
    public long LastBatch { get; private set; }

    /// <summary>A segment that was prepared and never used; null if there is none.</summary>
    public Segment? Unused { get; private set; }

    /// <summary>Files that no longer count: to be deleted once the log is durable without them.</summary>
    public List<string> Leftovers { get; } = [];

    public static LogRecovery Read(ILogDirectory directory)
    {
        for (var again = 0; ; again++)
        {
            var recovery = new LogRecovery(directory);
            try
            {
                recovery.Read();
                return recovery;
            }
            catch (UnsteadyReadException unsteady)
            {
                recovery.Close();
                // A sector that went bad between two reads is rot the next time (simulator seed 828 of 60 s). Nothing was changed yet.
                if (again < MostReadings)
                    continue;
                throw new LogFailedException(
                    $"The log in {directory.Location} reads differently each time: {unsteady.Message}. Nothing was changed. Look after the disk and the memory of this machine.",
                    unsteady);
            }
            catch
            {
                recovery.Close();
                throw;
            }
        }
    }

    /// <summary>Once the snapshots are known: what is left of the log, and what is to be written first.</summary>
    /// <exception cref="LogCorruptException">The term or the vote cannot be told: this member counts as wiped.</exception>
    public void Settle(SnapshotMark? snapshot)
    {
        if (!State.IsTermKnown || !State.IsEarlierEndKnown || !State.IsBounded(snapshot))
        {
            throw new LogCorruptException(
                $"{Rot[^1]} {(State.IsTermKnown ? "Where the log ended" : "The term and vote that stood there")} cannot be told any more, so this member must not vote again under its old incarnation. Nothing was cut. "
                + "While a majority of the other members is healthy, empty this directory and let the member join anew.");
        }
        var (first, remainder) = (State.First, State.Settle(snapshot));
        if (remainder != LogRemainder.All && Rot.Count == 0)
            Rot.Add($"The log in {_directory.Location} begins with entry {first}; what is before that is in no segment and in no whole snapshot.");
        var kept = State.First + State.Places.Count;
        var reset = remainder == LogRemainder.Snapshot ? snapshot : _tailReset;
        // What rotted lay behind the durable part, and a snapshot covers it: what is written again does not go on where that ends, so it
        // begins behind the snapshot (simulator seed 112).
        if (snapshot is not null && State.First > (reset?.Index.Next ?? Durable.Next) && Agrees(snapshot))
        {
            State.BeginBehind(snapshot);
            SegmentedLog.EndBefore(Segments, State.First);
            (reset, kept) = (snapshot, State.First);
        }
        if (remainder != LogRemainder.All)
            SegmentedLog.EndBefore(Segments, kept);
        Rest = new LogBatch
        {
            Term = State.Term,
            Vote = State.Vote,
            ResetTo = reset,
            TruncateFrom = reset is null && (kept < Durable.Next || remainder != LogRemainder.All) ? kept : null,
            Entries = State.Entries[State.Places.Count..],
            PeerBoots = _tailBoots,
            RottenEnd = State.RottenEnd,
        };
    }

    /// <summary>The log reaches the snapshot's last entry and, where it still has it, has the same one there (Raft 7).</summary>
    public bool Agrees(SnapshotMark snapshot) => State.Next.Previous >= snapshot.Index
        && (snapshot.Index < State.First || State.Entries[(int)(snapshot.Index - State.First)].Term == snapshot.Term);

    /// <summary>The log starts anew behind a snapshot that was installed before it was told.</summary>
    public void GoOnBehind(SnapshotMark snapshot)
    {
        var isNewerTerm = State.Term < snapshot.Term;
        State.Vow(isNewerTerm ? snapshot.Term : State.Term, isNewerTerm ? MemberId.None : State.Vote);
        State.Reset(snapshot);
        Rest = new LogBatch { Term = State.Term, Vote = State.Vote, ResetTo = snapshot, PeerBoots = _tailBoots,
            RottenEnd = State.RottenEnd };
    }

    /// <summary>Closes every file.</summary>
    public void Close()
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
        Replay(chain, floor);
        if (LastWhole < floor)
            throw SegmentScan.Corrupt(
                _directory.Location, head.Scan.Number, (long)head.Scan.BreakPage * PageFormat.PageSize,
                $"{head.Scan.Break}, but batch {floor} was durable");
        Leave(Segments);
    }

    /// <summary>The newest segment that was begun. Newer ones were prepared, or torn before anything in them was synced.</summary>
    private Part? FindHead(ref long floor)
    {
        foreach (var number in _files.Keys.Reverse())
        {
            var (scan, damage) = Scan(number, null);
            floor = Math.Max(floor, scan.Floor);
            LastBatch = Math.Max(LastBatch, scan.LastBatch);
            if (scan.Pieces(floor, null) is { Count: > 0 } pieces)
            {
                var header = scan.ReadHeader(_directory.Location, pieces[0]);
                return header is not null ? new Part(scan, damage, header, pieces) : throw SegmentScan.Corrupt(
                    _directory.Location, number, 0,
                    $"{WhatIn(damage, pieces[0])}: the segment's header, which repeats term and vote, cannot be told");
            }
            if (scan.IsUnused && number == _files.Keys.Last())
                Unused = new Segment(number, scan.File, scan.Pages);
        }
        return null;
    }

    /// <summary>
    /// The segments before the head, by what each says of the one before it, oldest first, up to where they were compacted, or where
    /// nothing says what was before.
    /// </summary>
    private List<Part> FollowBack(Part head)
    {
        List<Part> chain = [head];
        for (var previous = head.Header.Previous; _files.ContainsKey(previous.Segment); previous = chain[0].Header.Previous)
        {
            var (scan, damage) = Scan(previous.Segment, previous.EndPage);
            var pieces = scan.Pieces(0, previous.EndPage);
            if (pieces.Count == 0 || (pieces[^1].Batch is { } last && last.Number != previous.Batch))
                throw SegmentScan.Corrupt(_directory.Location, scan.Number, (long)scan.EndPage * PageFormat.PageSize,
                    $"{scan.Break ?? "its batches end"}, but batch {previous.Batch} was durable");
            if (scan.ReadHeader(_directory.Location, pieces[0]) is not { } header)
            {
                Rot.Add($"{_files[scan.Number]} at offset 0: {WhatIn(damage, pieces[0])}; where the log before it ends cannot be told.");
                break;
            }
            chain.Insert(0, new Part(scan, damage, header, pieces));
        }
        return chain;
    }

    private void Replay(List<Part> chain, long floor)
    {
        State.Start(chain[0].Header);
        End = chain[0].Header.Previous;
        var isTail = false;
        foreach (var part in chain)
        {
            var (scan, header) = (part.Scan, part.Header);
            if (part != chain[0] && !State.GoOn(header))
                throw SegmentScan.Corrupt(
                    _directory.Location, scan.Number, 0,
                    $"it begins with entry {header.NextIndex}, the log before it ends before {State.Next}");
            Segment? segment = null;
            foreach (var piece in part.Pieces)
            {
                // All of a segment that has a successor was synced before that was begun.
                if (part == chain[^1] && !isTail && (piece.Batch?.Number ?? LastWhole + 1) > floor)
                    (isTail, Durable) = (true, (State.Next, State.Term, State.Vote, State.Boots));
                if (!isTail && segment is null)
                {
                    segment = new Segment(scan.Number, scan.File, scan.Pages);
                    Segments.Add(segment);
                }
                Replay(part, piece, isTail ? null : segment);
                // How many batches those pages were cannot be told: no more than there are pages.
                LastWhole = piece.Batch?.Number ?? LastWhole + piece.Pages;
                if (isTail)
                    continue;
                segment!.NextPage = piece.FirstPage + piece.Pages;
                End = new LogPosition(scan.Number, segment.NextPage, LastWhole);
            }
        }
        if (!isTail)
            Durable = (State.Next, State.Term, State.Vote, State.Boots);
        LastBatch = Math.Max(LastBatch, LastWhole);
        RunEnd = chain[^1].Pieces.Exists(piece => piece.Batch is not null) ? LastWhole : Log.RunEnd.Untold;
    }

    /// <summary>Reads a batch's records, or what is left of them.</summary>
    private void Replay(Part part, ScannedPiece piece, Segment? durable)
    {
        try
        {
            if (piece.Batch is { } batch)
                ReplayWhole(part.Scan.ReadBatch(batch), batch, durable);
            else
                ReplayDamaged(part, piece, durable);
        }
        catch (MessagePackSerializationException wrong)
        {
            throw SegmentScan.Corrupt(_directory.Location, part.Scan.Number, (long)piece.FirstPage * PageFormat.PageSize, wrong.Message);
        }
        catch (UnknownFormatException unknown)
        {
            throw unknown.In(_directory.Location, _files[part.Scan.Number]);
        }
        if (durable is not null && piece.Batch is null)
            durable.LastIndex = LogIndex.Max(durable.LastIndex, State.Next.Previous);
    }

    private void ReplayWhole(byte[] payload, ScannedBatch batch, Segment? durable)
    {
        var records = new MessagePackReader(payload);
        var from = batch.FirstPage * PageFormat.PayloadPerPage;
        while (!records.End)
        {
            var start = (int)records.Consumed;
            var body = RecordReader.Open(ref records, out var kind);
            if (kind != RecordKind.Entry)
            {
                Apply(kind, ref body, durable);
                continue;
            }
            var entry = RecordReader.Entry(ref body);
            if (!State.Add(entry))
                throw new MessagePackSerializationException($"entry {entry.Index} stands where entry {State.Next} should");
            if (durable is null)
                continue;
            State.Places.Add(new EntryPlace(durable, from + start, (int)records.Consumed - start));
            durable.LastIndex = entry.Index;
        }
    }

    private void ReplayDamaged(Part part, ScannedPiece piece, Segment? durable)
    {
        Rot.Add($"{_files[part.Scan.Number]} at offset {(long)piece.FirstPage * PageFormat.PageSize}: {WhatIn(part.Damage, piece)}.");
        var salvage = new LogSalvage(part.Scan, piece);
        while (salvage.Next(State.KnownNext) is { } record)
        {
            if (record.Kind is not { } kind)
            {
                State.LoseAll(record.Bytes, mayBeVow: !record.BehindEntry, isBeginning: piece.FirstPage == 0);
                continue;
            }
            if (!record.IsWhole)
            {
                State.Lose(State.Next.Next, isExact: true);
                continue;
            }
            var body = new MessagePackReader(record.Body);
            if (kind != RecordKind.Entry)
            {
                // A reset among what rotted of the durable part is no part of the tail: written again behind entries that followed it, it
                // would void them (simulator seed 437).
                Apply(kind, ref body, durable);
                continue;
            }
            // It is as it was written, but its page is not: the entry is fetched with the others.
            var index = RecordReader.Entry(ref body).Index;
            if (index > State.Next || (State.KnownNext is { } next && index != next))
                throw new MessagePackSerializationException($"entry {index} stands where entry {State.Next} should");
            State.Lose(index.Next, isExact: true);
        }
    }

    /// <summary>Any record but an entry.</summary>
    private void Apply(RecordKind kind, ref MessagePackReader body, Segment? durable)
    {
        switch (kind)
        {
            case RecordKind.SegmentHeader:
                if (durable is not null)
                    durable.LastIndex = State.Next.Previous;
                break;
            case RecordKind.HardState:
                State.Vow(new Term(body.ReadInt64()), new MemberId(body.ReadInt32()));
                break;
            case RecordKind.Truncate:
                State.Truncate(new LogIndex(body.ReadInt64()));
                SegmentedLog.EndBefore(Segments, State.Next);
                break;
            case RecordKind.Reset:
                var mark = RecordReader.Mark(ref body);
                State.Reset(mark);
                SegmentedLog.EndBefore(Segments, State.Next);
                _tailReset = durable is null ? mark : null;
                break;
            case RecordKind.PeerBoot:
                var boot = RecordReader.Boot(ref body);
                State.Remember(boot);
                if (durable is null)
                    _tailBoots.Add(boot);
                break;
            case RecordKind.RottenEnd:
                State.Remember(RecordReader.End(ref body));
                break;
        }
    }

    private static string WhatIn(SegmentDamage damage, ScannedPiece piece)
    {
        var found = damage.Found.FirstOrDefault(d => d.Page < piece.FirstPage + piece.Pages && d.Page + d.Pages > piece.FirstPage);
        return found.What ?? "what was durable is not there";
    }

    private (SegmentScan Scan, SegmentDamage Damage) Scan(long number, int? endPage)
    {
        var file = _directory.Open(_files[number]);
        try
        {
            var damage = new SegmentDamage(CancellationToken.None);
            var scan = SegmentScan.Read(_directory.Location, number, file, endPage, damage);
            if (damage.Found.FirstOrDefault(d => d.Kind == LogProblemKind.CutFile) is { What: { } what } cut)
                throw SegmentScan.Corrupt(_directory.Location, number, (long)cut.Page * PageFormat.PageSize, what);
            _scans.Add(scan);
            return (scan, damage);
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

    /// <summary>A segment that counts.</summary>
    private sealed record Part(SegmentScan Scan, SegmentDamage Damage, SegmentHeader Header, List<ScannedPiece> Pieces);
}
