using RaftKit.Consensus;
using RaftKit.Node.Log;
using static RaftKit.Node.Tests.Log.LogSamples;

namespace RaftKit.Node.Tests.Log;

/// <summary>
/// Lives of a log, drawn from a seed: batches of every kind, syncs, snapshots, compaction; then the power goes in the middle of something,
/// or the process is killed, or a sync fails; and again. After every start the log must be what was synced, or that and a prefix of what
/// was written behind it.
/// </summary>
public sealed class LogCrashTests
{
    [Theory]
    [InlineData(0, 1000)]
    [InlineData(1000, 2000)]
    public void Whatever_was_synced_survives_every_crash_and_what_was_not_is_a_prefix(int first, int last)
    {
        var seen = new Counts();
        for (var seed = first; seed < last; seed++)
        {
            try
            {
                new Life(seed, seen).Run();
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException($"seed {seed}: {failure.Message}", failure);
            }
        }
        // A run that never met a fault proves nothing about it.
        Assert.True(seen.PowerCuts > 100 && seen.Kills > 100 && seen.FailedSyncs > 20 && seen.CutWhileOpening > 20, $"{seen}");
        Assert.True(seen.Dropped > 20 && seen.KeptUnsynced > 20 && seen.Resets > 20 && seen.Compactions > 20, $"{seen}");
    }

    private sealed record Counts
    {
        public int PowerCuts { get; set; }
        public int Kills { get; set; }
        public int FailedSyncs { get; set; }
        public int CutWhileOpening { get; set; }
        public int Dropped { get; set; }
        public int KeptUnsynced { get; set; }
        public int Resets { get; set; }
        public int Compactions { get; set; }
    }

    private sealed class Life(int seed, Counts seen)
    {
        private readonly Random _random = new(seed);
        private MemoryDirectory _disk = null!;
        private SegmentedLogOptions _options = null!;
        private SegmentedLog _log = null!;
        private SnapshotStore _snapshots = null!;
        private LogModel _synced = new();
        private readonly List<LogModel> _written = [];
        private LogIndex _committedSnapshot;

        private LogModel Last => _written.Count > 0 ? _written[^1] : _synced;

        public void Run()
        {
            _disk = new MemoryDirectory(_random);
            _options = new SegmentedLogOptions
            {
                SegmentBytes = 4096 * _random.Next(2, 17), FirstSegmentBytes = 4096 * _random.Next(2, 17),
                PrepareBytes = 4096 * _random.Next(1, 5),
            };
            Start();
            for (var life = 0; life < 6; life++)
            {
                Live();
                Crash();
                while (_random.Next(4) == 0)
                {
                    _disk.PowerGoesAt = _disk.Operations + _random.Next(1, 40);
                    try
                    {
                        Start();
                        break;
                    }
                    catch (IOException)
                    {
                        seen.CutWhileOpening++;
                        Crash();
                    }
                }
                if (_log is null)
                    Start();
                _disk.PowerGoesAt = null;
            }
        }

        private void Start()
        {
            SnapshotStore? snapshots = null;
            SegmentedLog? log = null;
            try
            {
                snapshots = SnapshotStore.Open(_disk);
                log = SegmentedLog.Open(_disk, _options, snapshots, out var found);
                Judge(found);
                Assert.Equal(found.Entries.Count, ReadAll(log).Count(entry => entry.Index > (found.Snapshot?.Index ?? LogIndex.Zero)));
                _log = log;
                _snapshots = snapshots;
            }
            catch
            {
                log?.Dispose();
                snapshots?.Dispose();
                throw;
            }
        }

        private void Judge(RecoveredLog found)
        {
            Assert.True((found.Snapshot?.Index ?? LogIndex.Zero) >= _committedSnapshot, "a committed snapshot is gone");
            _committedSnapshot = found.Snapshot?.Index ?? LogIndex.Zero;
            LogModel[] allowed = [_synced, .. _written];
            var match = Array.FindLastIndex(allowed, model => model.Differs(found) is null);
            Assert.True(match >= 0, string.Join("; ", allowed.Select(model => model.Differs(found))));
            if (match < allowed.Length - 1)
                seen.Dropped++;
            else if (match > 0)
                seen.KeptUnsynced++;

            // Now the log says so to others: from here on it is durable.
            _synced = allowed[match].Copy();
            if (found.Snapshot is { } mark)
                AgreeWith(found, mark);
            _written.Clear();
        }

        /// <summary>Where the log was reset behind an installed snapshot at this start, so is the model.</summary>
        private void AgreeWith(RecoveredLog found, SnapshotMark mark)
        {
            var at = (int)(mark.Index - _synced.First);
            if (_synced.Next.Previous < mark.Index || (at >= 0 && _synced.Entries[at].Term != mark.Term))
                _synced.Apply(new LogBatch { Term = found.Term, Vote = found.Vote, ResetTo = mark });
        }

        private void Live()
        {
            if (_random.Next(2) == 0)
                _disk.PowerGoesAt = _disk.Operations + _random.Next(1, 120);
            if (_random.Next(4) == 0)
                _disk.SyncFailsAt = _random.Next(1, 12);
            try
            {
                for (var step = _random.Next(30); step > 0; step--)
                    Step();
            }
            catch (IOException failure)
            {
                if (failure.Message.Contains("errno 5", StringComparison.Ordinal))
                {
                    seen.FailedSyncs++;
                }
            }
        }

        private void Step()
        {
            switch (_random.Next(10))
            {
                case < 6:
                    Write(DrawBatch());
                    break;
                case < 9:
                    _log.Sync();
                    if (_written.Count > 0)
                        _synced = _written[^1];
                    _written.Clear();
                    break;
                default:
                    if (_random.Next(3) == 0)
                        Install();
                    else
                        Compact();
                    break;
            }
        }

        private void Write(LogBatch batch)
        {
            var after = Last.Copy();
            after.Apply(batch);
            _written.Add(after);
            _log.Write(batch);
        }

        private LogBatch DrawBatch()
        {
            var model = Last;
            var (term, vote) = (model.Term, model.Vote);
            if (_random.Next(5) == 0)
                (term, vote) = (new Term(term.Value + _random.Next(1, 3)), new MemberId(_random.Next(4)));
            else if (vote.IsNone && _random.Next(3) == 0)
                vote = new MemberId(_random.Next(1, 4));

            var lowest = LogIndex.Max(model.First, _committedSnapshot.Next);
            LogIndex? cut = _random.Next(8) == 0 && model.Next > lowest
                ? new LogIndex(_random.NextInt64(lowest.Value, model.Next.Value)) : null;
            var next = cut ?? model.Next;
            var size = _random.Next(12) == 0 ? 20_000 : _random.Next(3) == 0 ? 3000 : 100;
            return new LogBatch
            {
                Term = term,
                Vote = vote,
                TruncateFrom = cut,
                Entries = [.. Enumerable.Range(0, _random.Next(4)).Select(
                    i => Noise(next.Value + i, term.Value, _random.Next(size), _random))],
                PeerBoots = _random.Next(10) == 0 ? [new PeerBoot(new MemberId(_random.Next(1, 4)), 1, _random.Next(100))] : [],
            };
        }

        private void Compact()
        {
            // A snapshot covers what is committed, and so durable somewhere; here: what is synced.
            var last = _synced.Next.Previous;
            var shared = LogIndex.Min(last, Last.Next.Previous);
            if (shared <= _committedSnapshot || shared < _synced.First || shared < Last.First)
                return;
            var index = new LogIndex(
                _random.NextInt64(LogIndex.Max(LogIndex.Max(_synced.First, Last.First), _committedSnapshot.Next).Value, shared.Value + 1));
            var entry = _synced.Entries[(int)(index - _synced.First)];
            if (!LogModel.Same(entry, Last.Entries[(int)(index - Last.First)]))
                return;
            _committedSnapshot = TakeSnapshot(_snapshots, index.Value, entry.Term.Value, _random.Next(3000)).Index;
            seen.Compactions++;
            _log.Compact(index);
            // Compaction syncs what was written.
            if (_written.Count > 0)
                _synced = _written[^1];
            _written.Clear();
        }

        private void Install()
        {
            // Ours may be behind the leader's snapshot, or hold a suffix that conflicts with it.
            var index = LogIndex.Max(Last.Next.Previous, _committedSnapshot) + _random.Next(1, 30);
            var term = new Term(Last.Term.Value + _random.Next(2));
            if (term == Term.Zero)
                return;
            var mark = TakeSnapshot(_snapshots, index.Value, term.Value, _random.Next(3000));
            _committedSnapshot = mark.Index;
            seen.Resets++;
            var vote = term > Last.Term ? MemberId.None : Last.Vote;
            Write(new LogBatch { Term = term, Vote = vote, ResetTo = mark });
        }

        private void Crash()
        {
            _log?.Dispose();
            _snapshots?.Dispose();
            _log = null!;
            if (_random.Next(3) == 0)
            {
                seen.Kills++;
                _disk.Kill();
            }
            else
            {
                seen.PowerCuts++;
                _disk.CutPower();
            }
        }
    }
}
