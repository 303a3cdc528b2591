using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Node.Rehearsal;

namespace RaftKit.Fuzz.Targets;

/// <summary>
/// Segments of a log. Damage that checksums can see gives a refusal or a prefix of what was written; what gets past them, too, a refusal or
/// some log, and nothing else. Every other input is verified as well, which must come to the same judgement as a start.
/// </summary>
internal sealed class LogTarget : FuzzTarget
{
    private const int Page = PageFormat.PageSize;

    private static readonly SegmentedLogOptions Tiny = new() { SegmentBytes = 8 << 10, PrepareBytes = 4 << 10 };

    private readonly (FrozenDirectory Directory, LogState Truth)[] _scenes =
        [.. new[] { Overwritten(), Compacted(), Large() }.Select(d => (d, Read(d)))];
    private FrozenDirectory _input = new();
    private LogState _truth = new();
    private bool _isSeen;
    private bool _isVerified;
    private string _what = "";

    public override string Name => "log";

    public override string Describe() =>
        $"{_what}; {string.Join("; ", _input.Names.Select(name => $"{name} {Convert.ToHexString(_input[name])}"))}";

    public override long InputBytes => _input.Bytes;

    public override void Draw(Random random)
    {
        (var scene, _truth) = _scenes[random.Next(_scenes.Length)];
        var segments = scene.Names.Where(name => name.EndsWith(".log", StringComparison.Ordinal)).ToList();
        var name = segments[random.Next(segments.Count)];
        (var bytes, _isSeen) = Damage(scene, name, random);
        _input = scene.With(name, bytes);
        _isVerified = random.Next(2) == 0;
    }

    public override string? Read()
    {
        string? refusal = null;
        try
        {
            var answer = Read(_input);
            if (_isSeen)
                RequirePrefix(answer, _truth);
        }
        catch (Exception refused) when (refused is LogCorruptException or UnknownFormatException)
        {
            refusal = refused.Message;
        }
        if (_isVerified)
            RequireAgreement(refusal);
        return refusal;
    }

    private static LogState Read(FrozenDirectory directory)
    {
        using var snapshots = SnapshotStore.Open(directory);
        var recovery = LogRecovery.Read(directory);
        recovery.Settle(snapshots.Newest);
        if (!recovery.Begun && snapshots.Newest is not null)
            throw new LogCorruptException("A snapshot, and no log.");
        return recovery.State;
    }

    private static void RequirePrefix(LogState answer, LogState truth)
    {
        // What a segment says of the time before it is true of that time only: terms and entries that came later may be missing, never
        // others be there.
        if (answer.Term > truth.Term || answer.First + answer.Entries.Count > truth.Next || answer.First < truth.First
            && answer.First != new LogIndex(1) && answer.Entries.Count > 0)
            throw new WrongAnswerException(
                $"term {answer.Term} and entries {answer.First} to {answer.Next.Previous}, of term {truth.Term} and {truth.First} to {truth.Next.Previous}");
        // What rotted may be missing; that it was there, the term and the vote may not.
        if (answer.RottenEnd is { } rotten
            && (!rotten.Reaches(new LogEnd(truth.Next.Previous, truth.LastTerm)) || answer.Term != truth.Term || answer.Vote != truth.Vote))
            throw new WrongAnswerException(
                $"it counts as ending at {rotten} with term {answer.Term}, vote {answer.Vote}; it ended at {truth.Next.Previous}/{truth.LastTerm} with term {truth.Term}, vote {truth.Vote}");
        foreach (var entry in answer.Entries)
        {
            var was = truth.Entries[(int)(entry.Index - truth.First)];
            if (was.Term != entry.Term || was.Kind != entry.Kind || was.Stamp != entry.Stamp
                || !was.Payload.Span.SequenceEqual(entry.Payload.Span))
                throw new WrongAnswerException($"entry {entry.Index} of term {entry.Term} is not what was written in term {was.Term}");
        }
    }

    private void RequireAgreement(string? refusal)
    {
        var report = LogVerifier.Verify(_input, CancellationToken.None);
        // The scene is a log by itself.
        if (report.Problems.Any(problem => problem.PreventsStart && problem.Kind != LogProblemKind.MissingIdentity) != refusal is not null)
            throw new WrongAnswerException(
                $"A start {(refusal is null ? "reads it" : $"refuses it: {refusal}")}; the verifier says {report}");
    }

    /// <summary>A damaged segment (null: it is gone), and whether its checksums tell.</summary>
    private (byte[]? Bytes, bool IsSeen) Damage(FrozenDirectory scene, string name, Random random)
    {
        var bytes = (byte[])scene[name].Clone();
        var at = random.Next(bytes.Length / Page) * Page;
        var page = bytes.AsSpan(at, Page);
        var sector = page.Slice(random.Next(8) * 512, 512);
        var kind = random.Next(10);
        _what = $"{name}, page {at / Page}, damage {kind}";
        switch (kind)
        {
            case 0:
                sector.Clear();
                return (bytes, true);
            case 1:
                // A torn sector: the front of a write, or its back.
                var cut = random.Next(512);
                (random.Next(2) == 0 ? sector[cut..] : sector[..cut]).Clear();
                return (bytes, true);
            case 2:
                var other = scene[scene.Names.Where(file => file.EndsWith(".log", StringComparison.Ordinal)).ElementAt(random.Next(2))];
                other.AsSpan(random.Next(other.Length / Page) * Page, Page).CopyTo(page);
                return (bytes, true);
            case 3:
                page.Clear();
                return (random.Next(4) == 0 ? null : bytes, true);
            case 4 or 5 when page.ContainsAnyExcept((byte)0):
                PageEditor.ChangeHeader(page, random);
                return (bytes, false);
            case 6 or 7 or 8 when page.ContainsAnyExcept((byte)0) && PageEditor.ChangeRecord(page, random):
                return (bytes, false);
            default:
                return (Mutator.Mutate(bytes, random), true);
        }
    }

    private static Entry Entry(long index, long term, int length) =>
        new(new Term(term), new LogIndex(index), EntryKind.Command, 1000 + index,
            Enumerable.Range(0, length).Select(i => (byte)(index + i)).ToArray());

    private static LogBatch Batch(long term, int vote, params Entry[] entries) =>
        new() { Term = new Term(term), Vote = new MemberId(vote), Entries = entries };

    private static FrozenDirectory Overwritten()
    {
        var disk = new MemoryLogDirectory("memory");
        using (var log = SegmentedLog.Open(disk, Tiny, out _))
        {
            log.Write(new LogBatch { Term = new Term(2), Vote = new MemberId(1), Entries = [Entry(1, 1, 10), Entry(2, 2, 0)],
                PeerBoots = [new PeerBoot(new MemberId(2), 1, 70_000)] });
            log.Sync();
            log.Write(Batch(2, 1, Entry(3, 2, 40), Entry(4, 2, 40)));
            log.Sync();
            log.Write(new LogBatch { Term = new Term(3), Vote = new MemberId(2), TruncateFrom = new LogIndex(4),
                Entries = [Entry(4, 3, 30)] });
            log.Sync();
        }
        using (var log = SegmentedLog.Open(disk, Tiny, out _))
        {
            log.Write(Batch(3, 2, Entry(5, 3, 30)));
            log.Sync();
        }
        return FrozenDirectory.Of(disk);
    }

    private static FrozenDirectory Compacted()
    {
        var disk = new MemoryLogDirectory("memory");
        using (var log = SegmentedLog.Open(disk, Tiny, out _))
        {
            for (var index = 1; index <= 8; index++)
            {
                log.Write(Batch(4, 3, Entry(index, 4, 700)));
                log.Sync();
            }
            using (var snapshots = SnapshotStore.Open(disk))
            using (var writer = snapshots.Begin(new LogIndex(5), new Term(4), 1005, Membership.Empty))
                writer.Commit();
            log.Compact(new LogIndex(5));
        }
        return FrozenDirectory.Of(disk);
    }

    private static FrozenDirectory Large()
    {
        var disk = new MemoryLogDirectory("memory");
        using (var log = SegmentedLog.Open(disk, Tiny, out _))
        {
            log.Write(Batch(1, 1, Entry(1, 1, 9000)));
            log.Sync();
            log.Write(Batch(1, 1, Entry(2, 1, 100), Entry(3, 1, 5000)));
        }
        return FrozenDirectory.Of(disk);
    }
}
