using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Members;
using RaftKit.Node.Proposals;
using RaftKit.Node.Transport;
using static RaftKit.Node.Tests.Log.LogSamples;

namespace RaftKit.Node.Tests.Log;

/// <summary>
/// The scenes that are kept as files in <c>Golden/format-1</c>, and how the product wrote them. Written once, by <c>dotnet run --project
/// tests/RaftKit.Node.Tests -- golden FOLDER</c>; a format that follows gets a folder of its own beside this one, and this one stays.
/// </summary>
internal static class GoldenDirectories
{
    public static readonly Guid Cluster = new("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");

    public static readonly Membership Founding = new([new(new(1), 1), new(new(2), 1), new(new(3), 1)], [], []);

    /// <summary>Their names, and what writes them.</summary>
    public static IReadOnlyDictionary<string, Action<ILogDirectory>> Scenes { get; } =
        new SortedDictionary<string, Action<ILogDirectory>>(StringComparer.Ordinal)
    {
        ["founded"] = WriteFounded,
        ["compacted"] = WriteCompacted,
        ["joined"] = WriteJoined,
        ["torn"] = WriteTorn,
        ["rotten"] = WriteRotten,
        ["witnessed"] = WriteWitnessed,
        ["changed"] = WriteChanged,
        ["forced"] = WriteForced,
        ["oldcopy"] = WriteOldCopy,
    };

    /// <summary>The kept files.</summary>
    public static string Folder(string scene) => Path.Combine(AppContext.BaseDirectory, "Golden", "format-1", scene);

    /// <summary>The kept files, in memory: to be opened, and damaged.</summary>
    public static MemoryDirectory Load(string scene)
    {
        var disk = new MemoryDirectory(new Random(1));
        foreach (var file in Directory.GetFiles(Folder(scene)))
            disk.Put(Path.GetFileName(file), File.ReadAllBytes(file));
        return disk;
    }

    public static int WriteAll(string folder)
    {
        foreach (var (scene, write) in Scenes)
        {
            var path = Path.Combine(folder, scene);
            if (Directory.Exists(path))
            {
                Console.Error.WriteLine($"{path} exists: golden files are written once.");
                return 2;
            }
            write(new DiskLogDirectory(path));
            Console.WriteLine(path);
        }
        return 0;
    }

    /// <summary>A founder after three starts: entries of every kind, an overwritten suffix, votes, boots, over several segments.</summary>
    private static void WriteFounded(ILogDirectory disk)
    {
        using (var log = SegmentedLog.Open(disk, Tiny, out _))
        {
            log.Write(new LogBatch
            {
                Term = new Term(1), Vote = MemberId.None,
                Entries = [new Entry(new Term(1), new LogIndex(1), EntryKind.Membership, 0, MembershipCodec.Encode(Founding))],
            });
            log.Sync();
        }
        using (var log = SegmentedLog.Open(disk, Tiny, out _))
        {
            log.Write(new LogBatch
            {
                Term = new Term(2), Vote = new MemberId(1),
                Entries = [new Entry(new Term(2), new LogIndex(2), EntryKind.NoOp, 1_790_000_000_000, default)],
                PeerBoots = [new PeerBoot(new MemberId(2), 1, 1), new PeerBoot(new MemberId(3), 1, 70_000)],
            });
            log.Write(Batch(2, 1, Entry(3, 2, "three"), Entry(4, 2, new string('4', 5000)), Entry(5, 2, "overwritten")));
            log.Sync();
            log.Write(new LogBatch { Term = new Term(3), Vote = new MemberId(2), TruncateFrom = new LogIndex(5),
                Entries = [Entry(5, 3, "five"), Entry(6, 3, "")] });
            log.Sync();
        }
        IdentityFile.Write(disk, new DirectoryIdentity(new MemberId(1), 1, 3, Cluster, [new(1), new(2), new(3)])
        {
            RunEnds = new RunEnds([new RunEnd(1, 1), new RunEnd(2, 4)]),
        });
    }

    /// <summary>A snapshot with frames of two sections, a log that begins behind its middle, and a membership that is joint.</summary>
    private static void WriteCompacted(ILogDirectory disk)
    {
        using (var log = SegmentedLog.Open(disk, Tiny, out _))
        {
            for (var index = 1; index <= 6; index++)
                log.Write(Batch(4, 3, Entry(index, 4, new string((char)('0' + index), 3000))));
            using (var snapshots = SnapshotStore.Open(disk))
            using (var writer = snapshots.Begin(new LogIndex(5), new Term(4), 1005, Three))
            {
                writer.WriteFrame("znodes", "the tree"u8);
                writer.WriteFrame("proposers", new byte[] { 1, 2, 3 });
                writer.WriteFrame("znodes", []);
                writer.Commit();
            }
            log.Compact(new LogIndex(5));
            log.Write(Batch(9, 0, Entry(7, 9, "seven")));
            log.Sync();
        }
        IdentityFile.Write(disk, new DirectoryIdentity(new MemberId(3), 2, 1, Cluster, [new(1), new(2), new(3)]));
    }

    /// <summary>A member that joined under its fourth incarnation, and has heard nothing yet.</summary>
    private static void WriteJoined(ILogDirectory disk)
    {
        SegmentedLog.Open(disk, Tiny, out _).Dispose();
        IdentityFile.Write(disk, new DirectoryIdentity(new MemberId(200), 4, 1, Cluster, []));
    }

    /// <summary>Two durable entries; a batch behind them of which the disk has the last page only, and that without its end.</summary>
    private static void WriteTorn(ILogDirectory disk)
    {
        string name;
        using (var log = SegmentedLog.Open(
            disk, new SegmentedLogOptions { SegmentBytes = 24 << 10, FirstSegmentBytes = 24 << 10, PrepareBytes = 4 << 10 }, out _))
        {
            log.Write(Batch(1, 2, Entry(1, 1, "one"), Entry(2, 1, "two")));
            log.Sync();
            log.Write(Batch(1, 2, Entry(3, 1, new string('3', 7000))));
            name = disk.List().Single(file => file.EndsWith(".log", StringComparison.Ordinal));
        }
        using (var file = disk.Open(name))
        {
            file.Write(2 * 4096, new byte[4096]);
            file.Write(3 * 4096 + 1000, new byte[4096 - 1000]);
        }
        IdentityFile.Write(disk, new DirectoryIdentity(new MemberId(2), 1, 1, Guid.Empty, [new(1), new(2)]));
    }

    /// <summary>
    /// Four durable entries, of which the second rotted; then a start that has got it again, and not yet what was behind it.
    /// </summary>
    private static void WriteRotten(ILogDirectory disk)
    {
        var options = new SegmentedLogOptions { SegmentBytes = 24 << 10, FirstSegmentBytes = 24 << 10, PrepareBytes = 4 << 10 };
        string name;
        using (var log = SegmentedLog.Open(disk, options, out _))
        {
            for (var index = 1; index <= 4; index++)
            {
                log.Write(Batch(5, 2, Entry(index, 5, $"entry {index}")));
                log.Sync();
            }
            name = disk.List().First(file => file.EndsWith(".log", StringComparison.Ordinal));
        }
        using (var file = disk.Open(name))
        {
            var payload = new byte[4096];
            file.Read(2 * 4096, payload);
            payload[payload.AsSpan().IndexOf("entry"u8)] ^= 1;
            file.Write(2 * 4096, payload);
        }
        using (var log = SegmentedLog.Open(disk, options, out _))
        {
            log.Write(Batch(6, 0, Entry(2, 5, "entry 2")));
            log.Sync();
        }
        IdentityFile.Write(disk, new DirectoryIdentity(new MemberId(3), 1, 2, Cluster, [new(1), new(2), new(3)]));
    }

    /// <summary>A member that was told twice what two others hold; it knows both the earlier word and the newest.</summary>
    private static void WriteWitnessed(ILogDirectory disk)
    {
        using (var log = SegmentedLog.Open(disk, Tiny, out _))
        {
            log.Write(Batch(2, 1, Entry(1, 1, "one"), Entry(2, 2, "two")));
            log.Sync();
        }
        using (var file = new WitnessFile(disk))
        {
            file.Read();
            file.Write(Witnesses(told: 41));
            file.Write(Witnesses(told: 42));
        }
        IdentityFile.Write(disk, new DirectoryIdentity(new MemberId(1), 1, 2, Cluster, [new(1), new(2), new(3)]));
    }

    /// <summary>Every kind of change that can be asked for, in the order of their numbers.</summary>
    public static IReadOnlyList<MembershipChange> Changes { get; } =
    [
        new MembershipChange.Add(Known, new(4), "host-4:7420", IsVoter: false), new MembershipChange.Remove(Known, new(3)),
        new MembershipChange.Set(Known, new SortedDictionary<MemberId, string> { [new(1)] = "host-1:7420", [new(5)] = "host-5:7420", [new(6)] = "[::1]:7420" }),
        new MembershipChange.Replace(Known, new(1), new(7), "host-7:7420"), new MembershipChange.Promote(Known, new(4)),
        new MembershipChange.AddItself(Known, new(8), "host-8:7420", new FeatureRanges([new("orders", new FeatureRange(1, 3))])),
        new MembershipChange.Move(Known, new(5), "elsewhere:7420"),
    ];

    private static SortedDictionary<MemberId, string> Known => new() { [new(1)] = "host-1:7420", [new(2)] = "", [new(3)] = "host-3:7420" };

    /// <summary>Both halves with several voters each, and a learner; then the new half alone.</summary>
    public static IReadOnlyList<Membership> Steps { get; } =
    [
        Founding, new([new(new(1), 1), new(new(5), 2), new(new(6), 1)], [new(new(4), 1)], [new(new(1), 1), new(new(2), 1), new(new(3), 1)]),
        new([new(new(1), 1), new(new(5), 2), new(new(6), 1)], [new(new(4), 1)], []),
    ];

    /// <summary>A member in whose log the members were changed in every way.</summary>
    private static void WriteChanged(ILogDirectory disk)
    {
        using (var log = SegmentedLog.Open(disk, Tiny, out _))
        {
            var index = 0;
            foreach (var step in Steps)
            {
                log.Write(Batch(3, 1, new Entry(new Term(3), new LogIndex(++index), EntryKind.Membership, 2000 + index, MembershipCodec.Encode(step))));
                foreach (var change in index == 1 ? Changes : [])
                {
                    log.Write(Batch(3, 1, new Entry(
                        new Term(3), new LogIndex(++index), EntryKind.Command, 2000 + index,
                        Envelope.Encode(new ProposerId(new(1), 1, 2), index, 1, Envelope.Name(Applier.NodeSection), change.Encode()))));
                }
            }
            log.Sync();
        }
        IdentityFile.Write(disk, new DirectoryIdentity(new MemberId(1), 1, 2, Cluster, [new(1), new(2), new(3)]));
    }

    /// <summary>The survivor of a quorum that was lost, and of another one after it.</summary>
    private static void WriteForced(ILogDirectory disk)
    {
        using (var log = SegmentedLog.Open(disk, Tiny, out _))
        {
            log.Write(Batch(2, 3, new Entry(new Term(1), new LogIndex(1), EntryKind.Membership, 0, MembershipCodec.Encode(Founding))));
            log.Sync();
        }
        IdentityFile.Write(disk, new DirectoryIdentity(new MemberId(3), 1, 4, Cluster, [new(1), new(2), new(3)]));
        for (var time = 0; time < 2; time++)
        {
            using var lost = LostQuorum.Open(disk, Tiny);
            lost.Force();
        }
    }

    /// <summary>One that others found to be an old copy, and that had promised leaders to vote for nobody else.</summary>
    private static void WriteOldCopy(ILogDirectory disk)
    {
        using (var log = SegmentedLog.Open(disk, Tiny, out _))
        {
            log.Write(Batch(7, 2, Entry(1, 7, "one")));
            log.Sync();
        }
        IdentityFile.Write(disk, new DirectoryIdentity(new MemberId(2), 3, 9, Cluster, [new(1), new(2), new(3)])
        {
            RunEnds = new RunEnds([new RunEnd(8, 70_000)]), RolledBack = "Member 1 was told more.", LongestPromise = TimeSpan.FromMilliseconds(750),
        });
    }

    /// <summary>What <c>witnessed</c> was told: a member in its third life, after runs of its own, and one whose process is not known.</summary>
    public static IReadOnlyList<Witnessed> Witnesses(long told) =>
    [
        new(new MemberId(2), 3, 9, told, new HostProcess("a machine", 4026531836, 4242, 123456), new RunEnds([new(7, 100), new(8, 70_000)])),
        new(new MemberId(3), 1, 1, 0, HostProcess.Unknown, RunEnds.None),
    ];
}
