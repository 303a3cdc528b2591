using System.Globalization;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>
/// One reading of a directory. It follows the same rules as <see cref="LogRecovery"/> and <see cref="SegmentedLog"/>, but goes on after
/// what these refuse, and keeps no entry. Tests hold the two against each other: what one accepts, the other does.
/// </summary>
internal sealed class LogVerification(UnreadableAsRot directory, CancellationToken cancellation)
{
    private readonly SortedDictionary<long, string> _files = [];
    private readonly SortedDictionary<long, SegmentReport> _segments = [];
    private readonly List<SnapshotReport> _snapshots = [];
    private readonly List<LogProblem> _problems = [];
    private readonly List<ILogFile> _open = [];
    private readonly LogTally _tally = new();
    private DirectoryIdentity? _identity;
    private SnapshotMark? _snapshot;

    public LogReport Run()
    {
        try
        {
            foreach (var name in OwnNames.InTheWay(directory))
                Add(LogProblemKind.NotAFile, name, null, null, "a directory stands where a member has a file");
            ReadIdentity();
            ReadSnapshots();
            ReadLog();
            // What that does to the log is told as the rot that it is; here is whose fault it was.
            foreach (var (file, offset) in directory.Lost)
                Add(LogProblemKind.Unreadable, file, offset, null, "the disk cannot read this page", preventsStart: false);
            var report = Report();
            return report.CanStart ? report : WithRepair(report);
        }
        finally
        {
            foreach (var file in _open)
                file.Dispose();
        }
    }

    private LogReport Report()
    {
        if (_snapshot is not null)
            _tally.GoOnBehind(_snapshot);
        var hasEntries = _tally.First < _tally.Next;
        return new LogReport
        {
            Directory = directory.Location,
            Member = _identity?.Member,
            Incarnation = _identity?.Incarnation ?? 0,
            Boot = _identity?.Boot ?? 0,
            ClusterId = _identity?.ClusterId ?? Guid.Empty,
            Term = _tally.Term,
            Vote = _tally.Vote,
            FirstIndex = _tally.First,
            LastIndex = _tally.Next.Previous,
            LastTerm = hasEntries ? _tally.LastTerm : _snapshot?.Term ?? Term.Zero,
            Entries = _tally.Next - _tally.First,
            Records = _tally.Records,
            Segments = [.. _segments.Values],
            Snapshots = _snapshots,
            Problems = [.. _problems.OrderByDescending(problem => problem.PreventsStart)],
        };
    }

    /// <summary>
    /// What rotted a start may be able to fetch again, as long as it can tell what it must not forget: it itself is asked. Only here are
    /// entries kept, those of the whole log.
    /// </summary>
    private LogReport WithRepair(LogReport report)
    {
        try
        {
            using var snapshots = SnapshotStore.Open(directory);
            var recovery = LogRecovery.Read(directory);
            try
            {
                recovery.Settle(snapshots.Newest);
                if (!recovery.Begun)
                    return report;
                if (snapshots.Newest is { } newest && !recovery.Agrees(newest))
                    recovery.GoOnBehind(newest);
            }
            finally
            {
                recovery.Close();
            }
            var state = recovery.State;
            return report with
            {
                Term = state.Term,
                Vote = state.Vote,
                FirstIndex = state.First,
                LastIndex = state.Next.Previous,
                LastTerm = state.LastTerm,
                Entries = state.Entries.Count,
                RottenEnd = state.RottenEnd?.Index,
                Problems = [.. report.Problems.Select(
                    problem => problem with
                    {
                        PreventsStart = problem.PreventsStart
                            && (problem.File == IdentityFile.Name || problem.Kind == LogProblemKind.NotAFile),
                    })],
            };
        }
        catch (Exception refused) when (refused is LogCorruptException or UnknownFormatException or LogFailedException)
        {
            return report;
        }
    }

    private void ReadIdentity()
    {
        try
        {
            _identity = IdentityFile.Read(directory);
            if (_identity is { RolledBack.Length: > 0 } marked)
                Add(LogProblemKind.RolledBack, IdentityFile.Name, null, null,
                    $"others found that this is an old copy: {marked.RolledBack}");
        }
        catch (LogCorruptException corrupt)
        {
            Add(LogProblemKind.Rot, IdentityFile.Name, 0, null, corrupt.Message);
        }
        catch (UnknownFormatException unknown)
        {
            Add(LogProblemKind.UnknownFormat, IdentityFile.Name, 0, null, unknown.Message);
        }
        catch (LogFailedException unreadable)
        {
            Add(LogProblemKind.Unreadable, IdentityFile.Name, null, null, unreadable.Message);
        }
        if (!directory.Exists(IdentityFile.Name)
            && directory.List().Any(name => Segment.TryParse(name, out _) || SnapshotStore.IsSnapshot(name)))
            Add(LogProblemKind.MissingIdentity, IdentityFile.Name, null, null, "nobody can tell whose votes and entries these files hold",
                LivedHere());
    }

    /// <summary>As a start sees it: what a first start left that was cut short, it clears away.</summary>
    private bool LivedHere()
    {
        try
        {
            return FirstStart.WhatWasLost(directory) is not null;
        }
        catch (Exception refused) when (refused is LogCorruptException or UnknownFormatException or LogFailedException)
        {
            return true;
        }
    }

    /// <summary>
    /// Whether a snapshot that is not whole keeps the member from starting, the log says: see <see cref="CheckCoverage"/>.
    /// </summary>
    private void ReadSnapshots()
    {
        // Names are index and term in a fixed width: the last one is the newest, and the newest whole one counts.
        foreach (var name in directory.List().Where(SnapshotStore.IsSnapshot).OrderDescending(StringComparer.Ordinal))
        {
            long length = 0;
            SnapshotMark? mark = null;
            try
            {
                using var file = directory.Open(name);
                length = file.Length;
                using var snapshot = SnapshotFile.Open(file, cancellation);
                if (SnapshotStore.NameOf(snapshot.Mark) == name)
                    mark = snapshot.Mark;
                else
                    Add(LogProblemKind.Misdirected, name, null, null,
                        $"it is a snapshot of entry {snapshot.Mark.Index} in term {snapshot.Mark.Term}", preventsStart: false);
            }
            catch (MessagePackSerializationException damaged)
            {
                Add(LogProblemKind.Rot, name, damaged.Offset, null, damaged.Message, preventsStart: false);
            }
            catch (UnknownFormatException unknown)
            {
                Add(LogProblemKind.UnknownFormat, name, 0, null, unknown.Message, preventsStart: _snapshot is null);
            }
            catch (LogFailedException unreadable)
            {
                Add(LogProblemKind.Unreadable, name, null, null, unreadable.Message, preventsStart: _snapshot is null);
            }
            _snapshot ??= mark;
            _snapshots.Insert(0, new SnapshotReport(name, length, mark is not null, mark?.Index ?? LogIndex.Zero, mark?.Term ?? Term.Zero));
        }
    }

    private void ReadLog()
    {
        foreach (var name in directory.List())
        {
            if (Segment.TryParse(name, out var number))
                _files.Add(number, name);
        }
        foreach (var (number, name) in _files)
            _segments.Add(number, new SegmentReport(name, number, 0, SegmentUse.Unknown, 0, 0, null));

        var before = _problems.Count;
        long floor = 0;
        List<SegmentDamage> damages = [];
        var head = FindHead(ref floor);
        if (head is null)
        {
            if (_problems.Count > before)
                return;
            if (floor > 0)
                Add(LogProblemKind.LostWrite, _files.Values.Last(), 0, null, $"batch {floor} was durable, no whole batch is left");
            else if (_snapshot is not null || _identity is not null)
                Add(LogProblemKind.MissingLog, Segment.NameOf(1), null, 1,
                    "the member has lived here, and its log is gone, its term and vote with it");
            return;
        }

        var chain = FollowBack(head);
        if (chain.Count == 0)
            return;
        Replay(chain);
        CheckEnd(chain[^1], floor);
        CheckCoverage(chain[0]);
    }

    /// <summary>As <see cref="LogRecovery"/>: the newest segment whose first batch is whole. Damage in a newer one is told, too.</summary>
    private Part? FindHead(ref long floor)
    {
        foreach (var number in _files.Keys.Reverse())
        {
            if (Scan(number, null) is not { } part)
                continue;
            floor = Math.Max(floor, part.Scan.Floor);
            if (part.Scan.Batches.Count > 0)
                return part;
            Tell(part, null);
            if (part.Scan.WrittenPages > 0 && part.Damage.Found.Count == 0)
                Add(LogProblemKind.TornTail, _files[number], 0, null, "the segment was being begun", preventsStart: false);
            Use(part, part.Scan.IsUnused && number == _files.Keys.Last() ? SegmentUse.Prepared : SegmentUse.Leftover);
        }
        return null;
    }

    /// <summary>The segments before the head, oldest first; as far back as headers can be read.</summary>
    private List<Part> FollowBack(Part head)
    {
        List<Part> chain = [];
        for (var part = head; part is not null;)
        {
            if (!TryReadHeader(part))
                return chain;
            chain.Insert(0, part);
            var previous = part.Header!.Previous;
            if (!_files.ContainsKey(previous.Segment) || Scan(previous.Segment, previous.EndPage) is not { } before)
                break;
            var ends = before.Scan.Batches.Count == 0 ? 0 : before.Scan.Batches[^1].Number;
            before.IsBroken = before.Scan.EndPage != previous.EndPage || before.Scan.Batches.Count == 0 || ends != previous.Batch;
            if (before.IsBroken && before.Damage.Found.Count == 0)
                before.Damage.Add(
                    LogProblemKind.LostWrite, before.Scan.EndPage,
                    $"{before.Scan.Break ?? "its batches end"}, but batch {previous.Batch} was durable");
            if (before.Scan.Batches.Count == 0)
            {
                Tell(before, null);
                break;
            }
            part = before;
        }
        foreach (var number in _files.Keys.Where(
            number => number < chain[0].Scan.Number && _segments[number].Use == SegmentUse.Unknown).ToList())
            _segments[number] =
                _segments[number] with { Use = chain[0].Header!.Previous.Segment == number ? SegmentUse.Unknown : SegmentUse.Leftover };
        return chain;
    }

    private bool TryReadHeader(Part part)
    {
        try
        {
            part.Header = part.Scan.DecodeHeader();
            if (part.Header.Pages != part.Scan.Pages)
                part.Damage.Add(
                    LogProblemKind.CutFile, part.Scan.Pages, $"it was made with {part.Header.Pages} pages, the file has {part.Scan.Pages}");
            return true;
        }
        catch (MessagePackSerializationException wrong)
        {
            part.Damage.Add(LogProblemKind.Contradiction, 0, wrong.Message);
        }
        catch (UnknownFormatException unknown)
        {
            part.Damage.Add(LogProblemKind.UnknownFormat, 0, unknown.Message);
        }
        catch (IOException unreadable) when (unreadable is LogFailedException or UnsteadyReadException)
        {
            part.Damage.Add(LogProblemKind.Unreadable, 0, unreadable.Message);
        }
        Tell(part, null);
        return false;
    }

    private void Replay(List<Part> chain)
    {
        _tally.Start(chain[0].Header!);
        var unread = false;
        foreach (var part in chain)
        {
            var header = part.Header!;
            if (header.NextIndex != _tally.Next && !unread)
                part.Damage.Add(
                    LogProblemKind.Contradiction, 0,
                    $"it begins with entry {header.NextIndex}, the log before it ends before {_tally.Next}");
            if (unread || header.NextIndex != _tally.Next)
                _tally.SkipTo(header);
            var before = _tally.Records;
            var whole = ReplayBatches(part);
            unread = !whole || part.IsBroken;
            Tell(part, _tally.Next);
            Use(part, SegmentUse.Live, _tally.Records - before);
        }
    }

    private bool ReplayBatches(Part part)
    {
        foreach (var batch in part.Scan.Batches)
        {
            cancellation.ThrowIfCancellationRequested();
            try
            {
                var records = new MessagePackReader(part.Scan.ReadBatch(batch));
                while (!records.End)
                {
                    var body = RecordReader.Open(ref records, out var kind);
                    _tally.Take(kind, ref body);
                }
            }
            catch (MessagePackSerializationException wrong)
            {
                part.Damage.Add(LogProblemKind.Contradiction, batch.FirstPage, wrong.Message);
                return false;
            }
            catch (UnknownFormatException unknown)
            {
                part.Damage.Add(LogProblemKind.UnknownFormat, batch.FirstPage, unknown.Message);
                return false;
            }
            catch (IOException unreadable) when (unreadable is LogFailedException or UnsteadyReadException)
            {
                part.Damage.Add(LogProblemKind.Unreadable, batch.FirstPage, unreadable.Message);
                return false;
            }
        }
        return true;
    }

    /// <summary>
    /// The log ends where its last segment's whole batches do: behind what was durable, and then whatever follows is torn.
    /// </summary>
    private void CheckEnd(Part head, long floor)
    {
        if (head.Damage.Found.Count > 0)
            return;
        var last = head.Scan.Batches[^1].Number;
        var at = (long)head.Scan.EndPage * PageFormat.PageSize;
        if (last < floor)
            Add(LogProblemKind.LostWrite, _files[head.Scan.Number], (long)head.Scan.BreakPage * PageFormat.PageSize, _tally.Next.Value,
                $"{head.Scan.Break}, but batch {floor} was durable");
        else if (head.Scan.WrittenPages > head.Scan.EndPage)
            Add(LogProblemKind.TornTail, _files[head.Scan.Number], at, _tally.Next.Value,
                $"the last batch was not written to its end ({head.Scan.Break})", preventsStart: false);
    }

    private void CheckCoverage(Part first)
    {
        var covered = _snapshot?.Index ?? LogIndex.Zero;
        if (_tally.First <= covered.Next)
            return;
        var previous = first.Header!.Previous.Segment;
        var damaged = _problems.FindLastIndex(problem => SnapshotStore.IsSnapshot(problem.File));
        if (damaged >= 0)
            _problems[damaged] = _problems[damaged] with { PreventsStart = true, Index = covered.Next.Value };
        // What is before the log's first record was in a snapshot that is not whole, or in a segment that is not there; one that is there
        // was told of.
        else if (!_files.ContainsKey(previous))
            Add(LogProblemKind.MissingSegment, Segment.NameOf(Math.Max(1, previous)), null, covered.Next.Value,
                $"the log begins with entry {_tally.First}, and {(_snapshot is null ? "no whole snapshot covers" : $"the newest whole snapshot, of entry {covered}, does not cover")} what is before it");
    }

    private Part? Scan(long number, int? endPage)
    {
        var damage = new SegmentDamage(cancellation) { TakesUnknownFormats = true };
        try
        {
            var file = directory.Open(_files[number]);
            _open.Add(file);
            return new Part(SegmentScan.Read(directory.Location, number, file, endPage, damage), damage, file.Length);
        }
        catch (LogFailedException unreadable)
        {
            Add(LogProblemKind.Unreadable, _files[number], null, null, unreadable.Message);
            return null;
        }
    }

    /// <summary>Puts what is wrong with the segment into the report.</summary>
    /// <param name="part">The segment.</param>
    /// <param name="next">The entry that would have come where its reading ended; null if that is not known.</param>
    private void Tell(Part part, LogIndex? next)
    {
        foreach (var damage in part.Damage.Found)
        {
            var more = damage.Pages == 1 ? "" : string.Create(CultureInfo.InvariantCulture, $" (and so on for {damage.Pages} pages)");
            Add(damage.Kind, _files[part.Scan.Number], (long)damage.Page * PageFormat.PageSize, next?.Value, damage.What + more);
        }
        if (part.Damage.Uncounted > 0)
            Add(LogProblemKind.Rot, _files[part.Scan.Number], null, next?.Value, $"{part.Damage.Uncounted} more places");
    }

    private void Use(Part part, SegmentUse use, long records = 0) =>
        _segments[part.Scan.Number] = new SegmentReport(
            _files[part.Scan.Number], part.Scan.Number, part.Bytes, use, part.Scan.Batches.Count, records, part.Header?.NextIndex);

    private void Add(LogProblemKind kind, string file, long? offset, long? index, string description, bool preventsStart = true) =>
        _problems.Add(new LogProblem(kind, file, offset, index, description, preventsStart));

    /// <summary>A segment that was read.</summary>
    private sealed class Part(SegmentScan scan, SegmentDamage damage, long bytes)
    {
        public SegmentScan Scan => scan;

        public SegmentDamage Damage => damage;

        public long Bytes => bytes;

        public SegmentHeader? Header { get; set; }

        /// <summary>It ends before where the segment after it says.</summary>
        public bool IsBroken { get; set; }
    }
}
