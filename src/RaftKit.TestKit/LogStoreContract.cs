using RaftKit.Consensus;
using RaftKit.Node.Log;

namespace RaftKit.TestKit;

/// <summary>
/// What every log directory and every log store must do, as checks that any test framework can run by their names. The simulated directory
/// and the one on a real disk pass the same checks: that is what makes what the simulator finds true of the real one.
/// </summary>
internal static class LogStoreContract
{
    /// <summary>Checks of a directory; each gets an empty one.</summary>
    public static IReadOnlyDictionary<string, Action<ILogDirectory>> OfDirectories { get; } =
        new SortedDictionary<string, Action<ILogDirectory>>
    {
        ["A_created_file_has_its_length_and_is_filled_with_zeros"] = directory =>
        {
            using var file = directory.Create("a", 5000);
            var bytes = new byte[6000];
            bytes.AsSpan().Fill(1);
            Holds(file.Length == 5000 && file.Read(0, bytes) == 5000 && !bytes.AsSpan(0, 5000).ContainsAnyExcept((byte)0),
                "5000 zeros are read");
        },
        ["A_file_reads_back_what_was_written_and_grows_when_written_beyond_its_end"] = directory =>
        {
            using (var file = directory.Create("a", 10))
            {
                file.Write(5, "twelve bytes"u8);
                file.Sync();
                Holds(file.Length == 17, $"length 17, not {file.Length}");
            }
            directory.Sync();
            using var again = directory.Open("a");
            var bytes = new byte[100];
            Holds(again.Read(5, bytes) == 12 && bytes.AsSpan(0, 12).SequenceEqual("twelve bytes"u8), "what was written is read");
            Holds(again.Read(17, bytes) == 0, "nothing is read at the end");
        },
        ["Names_are_listed_renamed_over_others_and_deleted"] = directory =>
        {
            directory.Create("a", 1).Dispose();
            directory.Create("b", 2).Dispose();
            Holds(directory.List().Order(StringComparer.Ordinal).SequenceEqual(["a", "b"]) && directory.Exists("a"), "a and b are listed");
            directory.Rename("a", "b");
            directory.Sync();
            using (var file = directory.Open("b"))
                Holds(file.Length == 1 && !directory.Exists("a"), "a replaced b");
            directory.Delete("b");
            Holds(directory.List().Count == 0, "nothing is left");
        },
        ["A_file_that_exists_is_not_created_and_one_that_does_not_is_not_opened"] = directory =>
        {
            directory.Create("a", 1).Dispose();
            Throws<IOException>(() => directory.Create("a", 1).Dispose());
            Throws<IOException>(() => directory.Open("b").Dispose());
        },
        ["The_lock_is_held_by_one_at_a_time"] = directory =>
        {
            var held = directory.Lock();
            Throws<DirectoryInUseException>(() => directory.Lock().Dispose());
            held.Dispose();
            directory.Lock().Dispose();
        },
    };

    /// <summary>Checks of a store; each gets an empty directory, and opens the store in it as often as it needs.</summary>
    public static IReadOnlyDictionary<string, Action<ILogDirectory, OpenStore>> OfStores { get; } =
        new SortedDictionary<string, Action<ILogDirectory, OpenStore>>
    {
        ["An_empty_directory_opens_as_an_empty_log"] = (directory, open) =>
        {
            using var log = open(directory, out var found);
            Holds(found.Entries.Count == 0 && found.Term == Term.Zero && found.Vote.IsNone && found.Snapshot is null, "nothing is found");
        },
        ["Term_vote_entries_and_boots_are_found_again"] = (directory, open) =>
        {
            var boot = new PeerBoot(new MemberId(2), 1, 7);
            using (var log = open(directory, out _))
            {
                log.Write(new LogBatch { Term = new Term(3), Vote = new MemberId(2), Entries = Entries(3, 1, 5), PeerBoots = [boot] });
                log.Write(new LogBatch { Term = new Term(4), Vote = MemberId.None, Entries = Entries(4, 6, 7) });
                log.Sync();
            }
            using var again = open(directory, out var found);
            Holds(found.Term == new Term(4) && found.Vote.IsNone, $"term 4 without a vote, not {found.Term} with {found.Vote}");
            Holds(found.PeerBoots.SequenceEqual([boot]), "the boot of member 2");
            HoldsEntries(found.Entries, [.. Entries(3, 1, 5), .. Entries(4, 6, 7)]);
        },
        ["A_cut_suffix_stays_cut"] = (directory, open) =>
        {
            using (var log = open(directory, out _))
            {
                log.Write(new LogBatch { Term = new Term(1), Vote = MemberId.None, Entries = Entries(1, 1, 9) });
                log.Sync();
                log.Write(new LogBatch { Term = new Term(2), Vote = MemberId.None, TruncateFrom = new LogIndex(4),
                    Entries = Entries(2, 4, 5) });
                log.Sync();
            }
            using var again = open(directory, out var found);
            HoldsEntries(found.Entries, [.. Entries(1, 1, 3), .. Entries(2, 4, 5)]);
        },
        ["Entries_are_read_back_at_least_one_and_then_as_many_as_fit"] = (directory, open) =>
        {
            using var log = open(directory, out _);
            log.Write(new LogBatch { Term = new Term(1), Vote = MemberId.None, Entries = Entries(1, 1, 50) });
            log.Sync();
            var read = new List<Entry>();
            log.Read(new LogIndex(10), new LogIndex(50), 1, read);
            HoldsEntries(read, Entries(1, 10, 10));
            read.Clear();
            log.Read(new LogIndex(10), new LogIndex(20), int.MaxValue, read);
            HoldsEntries(read, Entries(1, 10, 20));
        },
        ["A_log_of_many_batches_is_found_whole"] = (directory, open) =>
        {
            using (var log = open(directory, out _))
            {
                for (var i = 0; i < 200; i++)
                {
                    log.Write(new LogBatch { Term = new Term(1), Vote = MemberId.None, Entries = Entries(1, (i * 5) + 1, (i * 5) + 5) });
                    log.Sync();
                }
            }
            using var again = open(directory, out var found);
            HoldsEntries(found.Entries, Entries(1, 1, 1000));
        },
        ["Compaction_keeps_what_lies_behind_the_index"] = (directory, open) =>
        {
            using (var log = open(directory, out _))
            {
                for (var i = 0; i < 200; i++)
                {
                    log.Write(new LogBatch { Term = new Term(1), Vote = new MemberId(3), Entries = Entries(1, (i * 5) + 1, (i * 5) + 5) });
                    log.Sync();
                }
                log.Compact(new LogIndex(700));
                log.Write(new LogBatch { Term = new Term(2), Vote = new MemberId(1), Entries = Entries(2, 1001, 1002) });
                log.Sync();
                var read = new List<Entry>();
                while (read.Count < 302)
                    log.Read(new LogIndex(701 + read.Count), new LogIndex(1002), 4096, read);
                HoldsEntries(read, [.. Entries(1, 701, 1000), .. Entries(2, 1001, 1002)]);
            }
        },
    };

    /// <summary>Opens a store in a directory.</summary>
    public delegate ILogStore OpenStore(ILogDirectory directory, out RecoveredLog found);

    /// <summary>Entries of a term whose contents follow from their index.</summary>
    public static List<Entry> Entries(long term, long first, long last)
    {
        var entries = new List<Entry>();
        for (var i = first; i <= last; i++)
        {
            var payload = new byte[i * 37 % 300];
            new Random((int)i).NextBytes(payload);
            entries.Add(new Entry(new Term(term), new LogIndex(i), EntryKind.Command, i * 10, payload));
        }
        return entries;
    }

    public static void HoldsEntries(IReadOnlyList<Entry> found, IReadOnlyList<Entry> expected)
    {
        Holds(found.Count == expected.Count, $"{expected.Count} entries, not {found.Count}");
        for (var i = 0; i < expected.Count; i++)
        {
            Holds(
                found[i] with { Payload = default } == expected[i] with { Payload = default }
                    && found[i].Payload.Span.SequenceEqual(expected[i].Payload.Span),
                $"entry {expected[i].Index} of term {expected[i].Term}, not entry {found[i].Index} of term {found[i].Term} with other bytes");
        }
    }

    private static void Holds(bool fact, string what)
    {
        if (!fact)
            throw new ContractBrokenException($"The contract is broken: expected {what}.");
    }

    private static void Throws<T>(Action action)
        where T : Exception
    {
        try
        {
            action();
        }
        catch (T)
        {
            return;
        }
        throw new ContractBrokenException($"The contract is broken: expected {typeof(T).Name}.");
    }
}

/// <summary>A log directory or a log store does not do what it must.</summary>
public sealed class ContractBrokenException(string message) : Exception(message);
