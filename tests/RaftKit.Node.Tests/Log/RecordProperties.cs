using FsCheck;
using FsCheck.Fluent;
using RaftKit.Consensus;
using RaftKit.Node.Log;
using static RaftKit.Node.Tests.Log.LogSamples;

namespace RaftKit.Node.Tests.Log;

/// <summary>The record format, for any batches: what is written is read back, from the running log and by the next start.</summary>
public sealed class RecordProperties
{
    // The same cases in every run: a case that fails once fails again.
    private static readonly Config Fixed = Config.QuickThrowOnFailure.WithMaxTest(150).WithReplay(2026, 3);

    // Lengths around what fits in a sector and a page, and numbers of every width.
    private static readonly Gen<Step> Steps =
        from entries in Gen.Choose(0, 5)
        from lengths in Gen.OneOf(Gen.Choose(0, 40), Gen.Choose(400, 520), Gen.Choose(3990, 4110), Gen.Choose(8000, 12_000)).ArrayOf(5)
        from kinds in Gen.Elements(EntryKind.NoOp, EntryKind.Command, EntryKind.Membership).ArrayOf(5)
        from stamp in Gen.Elements(0L, 127, 128, 65_536, 1_790_000_000_000, long.MaxValue)
        from term in Gen.Elements(0L, 0, 1, 200, 70_000, 1L << 40)
        from cut in Gen.Choose(0, 6)
        from boots in Gen.Choose(0, 2)
        from sync in Gen.Elements(true, false)
        select new Step(entries, lengths, kinds, stamp, term, cut, boots, sync);

    [Fact]
    public void Any_batches_are_read_back_as_they_were_written() =>
        Prop.ForAll(Steps.ListOf(8).ToArbitrary(), steps =>
        {
            var disk = new MemoryDirectory(new Random(1));
            var model = new LogModel();
            using (var log = SegmentedLog.Open(disk, Tiny, out _))
            {
                foreach (var step in steps)
                {
                    var batch = step.After(model);
                    log.Write(batch);
                    model.Apply(batch);
                    if (step.Sync)
                        log.Sync();
                }
                log.Sync();
                if (!ReadAll(log).Zip(model.Entries).All(pair => LogModel.Same(pair.First, pair.Second)) || log.Next != model.Next)
                    throw new InvalidOperationException("the running log reads other entries");
            }
            Name(disk);
            var report = LogVerifier.Verify(disk, default);
            if (!report.CanStart || report.LastIndex != model.Next.Previous || report.Term != model.Term || report.Vote != model.Vote)
                throw new InvalidOperationException(report.ToString());
            using var again = SegmentedLog.Open(disk, Tiny, out var found);
            return model.Differs(found) is { } difference ? throw new InvalidOperationException(difference) : true;
        }).Check(Fixed);

    [Fact]
    public void Any_snapshot_is_read_back_as_it_was_written() =>
        Prop.ForAll(
            Gen.OneOf(Gen.Choose(0, 300), Gen.Choose(65_000, 66_000), Gen.Choose(130_000, 140_000)).ListOf(4).ToArbitrary(), lengths =>
        {
            var disk = new MemoryDirectory(new Random(1));
            var frames = lengths.Select(
                (length, i) => new SnapshotFrame(i % 2 == 0 ? "znodes" : "x", Noise(1, 1, length, new Random(i)).Payload)).ToList();
            SnapshotMark mark;
            using (var store = SnapshotStore.Open(disk))
            using (var writer = store.Begin(new LogIndex(7), new Term(3), 5, Three))
            {
                foreach (var frame in frames)
                    writer.WriteFrame(frame.Section, frame.Bytes.Span);
                mark = writer.Commit();
            }
            using var again = SnapshotStore.Open(disk);
            var read = again.OpenFrames(mark).ToList();
            return again.Newest == mark && read.Count == frames.Count
                && read.Zip(frames).All(
                    pair => pair.First.Section == pair.Second.Section && pair.First.Bytes.Span.SequenceEqual(pair.Second.Bytes.Span));
        }).Check(Fixed.WithMaxTest(40));

    /// <summary>What a batch is to do, whatever the log is then.</summary>
    private sealed record Step(int Entries, int[] Lengths, EntryKind[] Kinds, long Stamp, long TermGrowth, int Cut, int Boots, bool Sync)
    {
        public LogBatch After(LogModel log)
        {
            var term = new Term(Math.Max(1, log.Term.Value + TermGrowth));
            var cut = Math.Min(Cut, log.Entries.Count);
            LogIndex? from = cut > 0 && term > log.Term ? log.Next - cut : null;
            var next = from ?? log.Next;
            return new LogBatch
            {
                Term = term,
                Vote = term > log.Term ? new MemberId((int)(term.Value % 255)) : log.Vote,
                TruncateFrom = from,
                Entries = [.. Enumerable.Range(0, Entries).Select(
                    i => new Entry(term, next + i, Kinds[i], Stamp, Noise(1, 1, Lengths[i], new Random(i)).Payload))],
                PeerBoots = [.. Enumerable.Range(1, Boots).Select(i => new PeerBoot(new MemberId(i), i, Stamp))],
            };
        }
    }
}
