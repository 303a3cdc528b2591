using RaftKit.Consensus;
using RaftKit.Node.Log;
using static RaftKit.Node.Tests.Log.LogSamples;

namespace RaftKit.Node.Tests.Log;

/// <summary>What is wrong with a directory is said with file, place, entry and what to do; and nothing else is said to be wrong.</summary>
public sealed class LogVerifierTests
{
    private readonly MemoryDirectory _disk = new(new Random(1));

    [Fact]
    public async Task A_stopped_members_directory_is_told_and_not_changed()
    {
        using var directory = new TemporaryDirectory();
        var disk = new DiskLogDirectory(directory.Path);
        using (disk.Lock())
        {
            Name(disk);
            FillCompacted(disk);
        }
        var before = Fingerprint(directory.Path);

        var report = await LogVerifier.VerifyAsync(directory.Path);

        Assert.True(report.IsSound, report.ToString());
        Assert.True(report.CanStart);
        Assert.Equal((2, 1, 4L), (report.Member!.Value.Value, report.Incarnation, report.Boot));
        Assert.Equal(new Guid("01234567-89ab-cdef-0123-456789abcdef"), report.ClusterId);
        Assert.Equal((7L, 3), (report.Term.Value, report.Vote.Value));
        Assert.Equal((20L, 7L), (report.LastIndex.Value, report.LastTerm.Value));
        Assert.Equal(report.LastIndex - report.FirstIndex + 1, report.Entries);
        Assert.True(report.FirstIndex > new LogIndex(5) && report.FirstIndex <= new LogIndex(16), report.FirstIndex.ToString());
        var snapshot = Assert.Single(report.Snapshots);
        Assert.Equal((true, 15L, 1L), (snapshot.IsWhole, snapshot.Index.Value, snapshot.Term.Value));
        Assert.True(report.Segments.Count(segment => segment.Use == SegmentUse.Live) > 2);
        Assert.Equal(report.Records, report.Segments.Sum(segment => segment.Records));
        Assert.Equal(before, Fingerprint(directory.Path));
        Assert.Contains("member 2, incarnation 1, boot 4", report.ToString(), StringComparison.Ordinal);
        Assert.EndsWith("sound", report.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_running_members_directory_is_refused_and_a_member_is_refused_while_its_directory_is_verified()
    {
        using var directory = new TemporaryDirectory();
        var disk = new DiskLogDirectory(directory.Path);
        using (disk.Lock())
        {
            var refused = await Assert.ThrowsAsync<DirectoryInUseException>(() => LogVerifier.VerifyAsync(directory.Path));
            Assert.Contains($"process {Environment.ProcessId}", refused.Message, StringComparison.Ordinal);
        }

        var reader = new ReadOnlyLogDirectory(directory.Path);
        using (reader.Lock())
        {
            using var another = new ReadOnlyLogDirectory(directory.Path).Lock();
            Assert.Throws<DirectoryInUseException>(() => disk.Lock());
        }
        disk.Lock().Dispose();
    }

    [Fact]
    public async Task A_directory_that_is_not_there_is_not_made()
    {
        using var directory = new TemporaryDirectory();
        var missing = Path.Combine(directory.Path, "raft");
        await Assert.ThrowsAsync<DirectoryNotFoundException>(() => LogVerifier.VerifyAsync(missing));
        Assert.False(Directory.Exists(missing));

        var empty = await LogVerifier.VerifyAsync(directory.Path);
        Assert.True(empty.IsSound);
        Assert.Null(empty.Member);
        Assert.Empty(Directory.GetFiles(directory.Path));
    }

    [Fact]
    public async Task It_ends_when_it_is_cancelled()
    {
        using var directory = new TemporaryDirectory();
        FillCompacted(new DiskLogDirectory(directory.Path));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            LogVerifier.VerifyAsync(directory.Path, new CancellationToken(canceled: true)));
        using var source = new CancellationTokenSource();
        source.Cancel();
        Assert.Throws<OperationCanceledException>(() => LogVerifier.Verify(new ReadOnlyLogDirectory(directory.Path), source.Token));
    }

    [Fact]
    public void A_torn_tail_is_told_with_its_place_and_does_not_prevent_a_start()
    {
        Fill(3);
        var (name, page) = LastPage();
        _disk.Files[name].Bytes.AsSpan(page + 512, 512).Clear();

        var problem = Assert.Single(Verify().Problems);

        Assert.Equal(
            (LogProblemKind.TornTail, name, page, 3L, false),
            (problem.Kind, problem.File, problem.Offset, problem.Index, problem.PreventsStart));
        Assert.Contains("nothing that was acknowledged is lost", problem.Advice, StringComparison.Ordinal);
    }

    [Fact]
    public void Rot_is_told_with_its_page_and_the_first_entry_that_it_hides()
    {
        Fill(5);
        var name = _disk.Files.Keys.Order(StringComparer.Ordinal).ElementAt(1);
        _disk.Files[name].Bytes[700] ^= 1;

        var report = Verify();

        var problem = Assert.Single(report.Problems, p => p.Kind == LogProblemKind.Rot);
        Assert.Equal((name, 0L, false), (problem.File, problem.Offset, problem.PreventsStart));
        Assert.True(report.CanStart);
        Assert.Equal(new LogIndex(5), report.RottenEnd);
        Assert.Contains("fetches from the leader", problem.Advice, StringComparison.Ordinal);
        Assert.Contains("and fetches entries", report.ToString(), StringComparison.Ordinal);

        // In a segment's second page: the entries before it are known.
        _disk.Files[name].Bytes[700] ^= 1;
        var first = _disk.Files.Keys.Order(StringComparer.Ordinal).First();
        _disk.Files[first].Bytes[4096 + 700] ^= 1;
        problem = Assert.Single(Verify().Problems);
        Assert.Equal((LogProblemKind.Rot, first, 4096L, 1L), (problem.Kind, problem.File, problem.Offset, problem.Index));
    }

    [Fact]
    public void A_page_of_another_place_is_told_as_misdirected()
    {
        Fill(5);
        var bytes = _disk.Files[Segments().First()].Bytes;
        bytes.AsSpan(0, 4096).CopyTo(bytes.AsSpan(4096));
        Assert.Equal(LogProblemKind.Misdirected, Assert.Single(Verify().Problems).Kind);
    }

    [Fact]
    public void A_durable_page_that_reads_as_zeros_is_a_lost_write()
    {
        Fill(5);
        _disk.Files[Segments().First()].Bytes.AsSpan(4096, 4096).Clear();
        var problem = Assert.Single(Verify().Problems);
        Assert.Equal((LogProblemKind.LostWrite, 4096L, 1L), (problem.Kind, problem.Offset, problem.Index));
    }

    [Fact]
    public void A_missing_segment_is_named_with_the_entry_that_it_had()
    {
        Fill(8);
        var gone = Segments().ElementAt(1);
        _disk.Remove(gone);
        var problem = Assert.Single(Verify().Problems);
        Assert.Equal((LogProblemKind.MissingSegment, gone, 1L), (problem.Kind, problem.File, problem.Index));
    }

    [Fact]
    public void A_cut_file_is_told()
    {
        Fill(5);
        var name = Segments().First();
        _disk.Put(name, _disk.Files[name].Bytes[..5000]);
        Assert.Contains(Verify().Problems, problem => problem.Kind == LogProblemKind.CutFile && problem.File == name);
    }

    [Fact]
    public void A_corrupt_snapshot_is_missed_only_if_the_log_needs_it()
    {
        Fill(5);
        TakeSnapshot(_disk, 3, 1);
        var snapshot = _disk.Files.Keys.Single(SnapshotStore.IsSnapshot);
        _disk.Files[snapshot].Bytes[60] ^= 4;
        var problem = Assert.Single(Verify().Problems);
        Assert.Equal((LogProblemKind.Rot, snapshot, 19L, false), (problem.Kind, problem.File, problem.Offset, problem.PreventsStart));
        Assert.False(Verify().Snapshots.Single().IsWhole);

        var compacted = new MemoryDirectory(new Random(1));
        FillCompacted(compacted);
        compacted.Files[compacted.Files.Keys.Single(SnapshotStore.IsSnapshot)].Bytes[60] ^= 4;
        problem = Assert.Single(LogVerifier.Verify(compacted, default).Problems, p => p.Kind != LogProblemKind.MissingIdentity);
        Assert.Equal((LogProblemKind.Rot, 1L, false), (problem.Kind, problem.Index, problem.PreventsStart));
    }

    [Fact]
    public void A_log_that_is_gone_and_an_identity_that_is_marked_are_told()
    {
        IdentityFile.Write(_disk, new DirectoryIdentity(new MemberId(1), 1, 1, Guid.Empty, []) { RolledBack = "batch 9 was on its disk" });
        var report = LogVerifier.Verify(_disk, default);
        Assert.Equal([LogProblemKind.RolledBack, LogProblemKind.MissingLog], report.Problems.Select(problem => problem.Kind));
        Assert.False(report.CanStart);

        _disk.Files[IdentityFile.Name].Bytes[5] ^= 1;
        Assert.Equal(LogProblemKind.Rot, Assert.Single(LogVerifier.Verify(_disk, default).Problems).Kind);
    }

    [Fact]
    public void Files_of_a_newer_version_are_told_as_that()
    {
        Fill(5);
        var name = Segments().Last(file => _disk.Files[file].Bytes.AsSpan().ContainsAnyExcept((byte)0));
        FormatForgery.MakeNewerPage(_disk.Files[name].Bytes.AsSpan(0, 4096));
        var report = Verify();
        Assert.Contains(
            report.Problems, problem => problem.Kind == LogProblemKind.UnknownFormat && problem.File == name && problem.Offset == 0);
        Assert.Contains(
            "newer one", report.Problems.First(problem => problem.Kind == LogProblemKind.UnknownFormat).Advice, StringComparison.Ordinal);
    }

    [Fact]
    public void A_segment_that_is_rotten_from_end_to_end_is_one_problem()
    {
        Fill(5);
        _disk.Files[Segments().First()].Bytes.AsSpan().Fill(0x55);
        var problem = Assert.Single(Verify().Problems);
        Assert.Equal((LogProblemKind.Rot, 0L), (problem.Kind, problem.Offset));
        Assert.Contains("and so on for 2 pages", problem.Description, StringComparison.Ordinal);
    }

    [Fact]
    public void It_agrees_with_a_start_wherever_a_byte_is_wrong()
    {
        Fill(9);
        TakeSnapshot(_disk, 4, 1);
        var random = new Random(3);
        var (starts, refusals) = (0, 0);
        foreach (var name in _disk.Files.Keys.Order(StringComparer.Ordinal).ToList())
        {
            for (var at = 0; at < _disk.Files[name].Bytes.Length; at += random.Next(1, 25))
            {
                var disk = _disk.Copy();
                var bytes = disk.Files[name].Bytes;
                switch (random.Next(6))
                {
                    case 0: disk.Put(name, bytes[..at]); break;
                    case 1: bytes.AsSpan(at, Math.Min(bytes.Length - at, 512)).Clear(); break;
                    case 2: bytes.AsSpan(at / 512 * 512, Math.Min(bytes.Length - (at / 512 * 512), 512)).Clear(); break;
                    case 3: bytes.AsSpan(at / 4096 * 4096).Clear(); break;
                    default: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                }
                _ = Agrees(disk, $"{name} at {at}") ? starts++ : refusals++;
            }
        }
        Assert.True(starts > 500 && refusals > 100, $"{starts} starts, {refusals} refusals");
    }

    internal static bool Agrees(MemoryDirectory disk, string what)
    {
        Name(disk);
        var report = LogVerifier.Verify(disk, default);
        try
        {
            using var log = SegmentedLog.Open(disk, Tiny, out var found);
            Assert.True(report.CanStart, $"{what}: it starts, but {report}");
            Assert.Equal((found.Term, found.Vote), (report.Term, report.Vote));
            var last = found.Entries.Count > 0 ? found.Entries[^1].Index : found.Snapshot?.Index ?? LogIndex.Zero;
            Assert.True(last == report.LastIndex, $"{what}: entry {last} is the last, but {report}");
            return true;
        }
        catch (Exception refused) when (refused is LogCorruptException or UnknownFormatException)
        {
            Assert.False(report.CanStart, $"{what}: {refused.Message}, but {report}");
            return false;
        }
    }

    private static void FillCompacted(ILogDirectory disk)
    {
        using var log = SegmentedLog.Open(disk, Tiny, out _);
        for (var index = 1; index <= 18; index++)
            log.Write(Batch(1, 1, Entry(index, 1, new string('x', 3000))));
        log.Write(new LogBatch { Term = new Term(7), Vote = new MemberId(3), TruncateFrom = new LogIndex(17),
            Entries = [Entry(17, 7, "a"), Entry(18, 7, "b")] });
        log.Write(Batch(7, 3, Entry(19, 7, "c"), Entry(20, 7, "d")));
        var mark = TakeSnapshot(disk, 15, 1);
        log.Compact(mark.Index);
    }

    private static string Fingerprint(string path) =>
        string.Join('\n', new DirectoryInfo(path).GetFiles().OrderBy(file => file.Name, StringComparer.Ordinal)
        .Select(file =>
            $"{file.Name} {file.LastWriteTimeUtc.Ticks} {Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(file.FullName)))}"));

    /// <summary>As many entries, one a batch and page, synced each.</summary>
    private void Fill(int entries)
    {
        using var log = SegmentedLog.Open(_disk, Tiny, out _);
        for (var index = 1; index <= entries; index++)
        {
            log.Write(Batch(1, 1, Entry(index, 1, new string('x', 300))));
            log.Sync();
        }
    }

    private IEnumerable<string> Segments() =>
        _disk.Files.Keys.Where(name => name.EndsWith(".log", StringComparison.Ordinal)).Order(StringComparer.Ordinal);

    private (string Name, long Offset) LastPageOf(string name) =>
        (name, _disk.Files[name].Bytes.AsSpan().LastIndexOfAnyExcept((byte)0) / 4096 * 4096);

    private (string Name, int Offset) LastPage()
    {
        var (name, offset) = LastPageOf(Segments().Last(file => _disk.Files[file].Bytes.AsSpan().ContainsAnyExcept((byte)0)));
        return (name, (int)offset);
    }

    /// <summary>Without what is only said of scenes that have no identity.</summary>
    private LogReport Verify()
    {
        var report = LogVerifier.Verify(_disk, default);
        return report with { Problems = [.. report.Problems.Where(problem => problem.Kind != LogProblemKind.MissingIdentity)] };
    }
}
