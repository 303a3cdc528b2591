using RaftKit.Consensus.Tests.Harness;

namespace RaftKit.Consensus.Tests;

public sealed class LogViewTests
{
    [Fact]
    public void It_agrees_with_a_plain_list_whatever_is_done_to_it()
    {
        for (int seed = 1; seed <= 50; seed++)
            Compare(new Random(seed));
    }

    [Theory]
    [InlineData(5, 9, 5)]
    [InlineData(9, 2, 4)]
    [InlineData(9, 1, 2)]
    [InlineData(99, 9, 7)]
    [InlineData(3, 0, 0)]
    public void The_last_place_with_at_most_a_term_is_found(long from, long term, long expected)
    {
        var terms = new TermRuns(LogIndex.Zero, Term.Zero);
        foreach (var (index, t) in new[] { (1, 1), (2, 1), (3, 2), (4, 2), (5, 5), (6, 5), (7, 5) })
            terms.Append(new LogIndex(index), new Term(t));
        Assert.Equal(new LogIndex(expected), terms.LastAtMost(new LogIndex(from), new Term(term)));
    }

    [Fact]
    public void A_restart_finds_entries_kept_from_before_the_snapshot()
    {
        var mark = new SnapshotMark(new LogIndex(5), new Term(1), 0, TestCluster.Config([1]), 1);
        Entry[] kept = [Solo.Entry(3, 1), Solo.Entry(4, 1), Solo.Entry(5, 1), Solo.Entry(6, 2)];
        var restored = new RestoredState(new Term(2), MemberId.None, mark.Membership, mark.Index, mark, kept);
        var core = new RaftCore(new RaftCoreOptions { Self = new MemberId(1), Seed = 1 }, restored, new Solo());
        Assert.Equal((4L, 6L, 5L, 5L), (core.FirstIndex.Value, core.LastIndex.Value, core.Commit.Value, core.Applied.Value));
    }

    [Fact]
    public void A_restart_whose_log_contradicts_its_snapshot_stops_this_node()
    {
        var mark = new SnapshotMark(new LogIndex(2), new Term(2), 0, TestCluster.Config([1]), 1);
        var restored = new RestoredState(
            new Term(2), MemberId.None, mark.Membership, mark.Index, mark, [Solo.Entry(1, 1), Solo.Entry(2, 1)]);
        Assert.Throws<InvariantBrokenException>(() =>
            new RaftCore(new RaftCoreOptions { Self = new MemberId(1), Seed = 1 }, restored, new Solo()));
    }

    private static void Compare(Random random)
    {
        var disk = new ListReader();
        var log = new LogView(new RestoredState(Term.Zero, MemberId.None, Membership.Empty, LogIndex.Zero, null, []), disk);
        var effects = new Effects();
        List<Entry> model = [];
        long first = 1, term = 1, commit = 0;
        for (int step = 0; step < 400; step++)
        {
            switch (random.Next(7))
            {
                case 0 or 1 or 2:
                    term += random.Next(5) == 0 ? 1 : 0;
                    var entry = Solo.Entry(first + model.Count, term, new string('x', 1 + random.Next(20)));
                    log.Append(entry);
                    model.Add(entry);
                    break;
                case 3 when first + model.Count - 1 > commit:
                    long from = commit + 1 + random.Next((int)(first + model.Count - 1 - commit));
                    log.CutFrom(new LogIndex(from), new LogIndex(commit));
                    model.RemoveAll(e => e.Index.Value >= from);
                    break;
                case 4:
                    log.HandOver(effects);
                    disk.Take(effects);
                    commit = Math.Max(commit, first + random.Next(model.Count + 1) - 1);
                    break;
                case 5:
                    log.TrimMemory(new LogIndex(Math.Min(commit, disk.Last)), random.Next(300));
                    break;
                case 6 when Math.Min(commit, disk.Last) >= first && random.Next(4) == 0:
                    long upTo = first + random.Next((int)(Math.Min(commit, disk.Last) - first + 1));
                    log.CompactTo(new LogIndex(upTo));
                    model.RemoveAll(e => e.Index.Value <= upTo);
                    first = upTo + 1;
                    break;
            }
            Assert.Equal(new LogIndex(first - 1), log.Base);
            Assert.Equal(new LogIndex(first + model.Count - 1), log.Last);
            foreach (var entry in model)
                Assert.Equal(entry.Term, log.TermAt(entry.Index));
            Assert.Null(log.TermAt(log.Last.Next));
            if (model.Count == 0)
                continue;
            int at = random.Next(model.Count), bytes = 1 + random.Next(400);
            var slice = log.Slice(model[at].Index, bytes, LogIndex.Zero)!;
            Assert.Equal(model[at], slice[0]);
            Assert.Equal(model.Skip(at).Take(slice.Count), slice);
            Assert.True(slice.Count == 1 || slice.Sum(e => e.Weight) <= bytes);
        }
    }

    private sealed class ListReader : IEntryReader
    {
        private readonly List<Entry> _entries = [];

        public long Last => _entries.Count > 0 ? _entries[^1].Index.Value : 0;

        public void Take(Effects effects)
        {
            if (effects.TruncateFrom is { } cut)
                _entries.RemoveAll(e => e.Index >= cut);
            foreach (var entry in effects.Append)
            {
                Assert.Equal(Last + 1, entry.Index.Value);
                _entries.Add(entry);
            }
            effects.Clear();
        }

        public void Read(LogIndex from, LogIndex last, int maxBytes, List<Entry> into) =>
            into.AddRange(
                _entries.Where(e => e.Index >= from && e.Index <= last).TakeWhile((e, i) => i == 0 || (maxBytes -= e.Weight) >= 200));
    }
}
