using System.Security.Cryptography;
using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Members;
using RaftKit.Node.Proposals;
using RaftKit.Node.Transport;
using static RaftKit.Node.Tests.Log.LogSamples;

namespace RaftKit.Node.Tests.Log;

/// <summary>
/// Directories as format 1 wrote them are read by every later version, value by value; and no other answer is ever had of them.
/// </summary>
public sealed class GoldenDirectoryTests
{
    /// <summary>
    /// What reading a directory may take: a fixed part, and as much for each byte that is there. No length in a file can ask for more.
    /// </summary>
    private const long FixedBytes = 64 << 10;
    private const long BytesForEach = 12;

    public static TheoryData<string> Scenes => [.. GoldenDirectories.Scenes.Keys];

    /// <summary>Those whose every file a start depends on. Nothing depends on a witness, whose damage has a test of its own.</summary>
    public static TheoryData<string> DamagedScenes => [.. GoldenDirectories.Scenes.Keys.Where(scene => scene != "witnessed")];

    [Fact]
    public void A_founders_directory_is_read_value_by_value()
    {
        var disk = GoldenDirectories.Load("founded");

        var identity = IdentityFile.Open(disk, new MemberId(1))!;
        Assert.Equal(
            (1, 3L, GoldenDirectories.Cluster, ""), (identity.Incarnation, identity.Boot, identity.ClusterId, identity.RolledBack));
        Assert.Equal([1, 2, 3], identity.Founders.Select(member => member.Value));
        Assert.Equal("1: 1, 2: 4", identity.RunEnds.ToString());

        using var log = SegmentedLog.Open(disk, Tiny, out var found);
        Assert.Equal((new Term(3), new MemberId(2)), (found.Term, found.Vote));
        Assert.Null(found.Snapshot);
        Assert.Equal([new PeerBoot(new MemberId(2), 1, 1), new PeerBoot(new MemberId(3), 1, 70_000)], found.PeerBoots);
        Assert.Equal(
            [EntryKind.Membership, EntryKind.NoOp, EntryKind.Command, EntryKind.Command, EntryKind.Command, EntryKind.Command],
            found.Entries.Select(entry => entry.Kind));
        Assert.Equal([0, 1_790_000_000_000, 1003, 1004, 1005, 1006], found.Entries.Select(entry => entry.Stamp));
        Assert.Equal(GoldenDirectories.Founding, MembershipCodec.Decode(found.Entries[0].Payload.Span));
        Assert.Equal(["2/2 ", "3/2 three", $"4/2 {new string('4', 5000)}", "5/3 five", "6/3 "], Tell(found.Entries.Skip(1)));
        Assert.Equal(Tell(found.Entries), Tell(ReadAll(log)));
    }

    [Fact]
    public void A_compacted_directory_is_read_value_by_value()
    {
        var disk = GoldenDirectories.Load("compacted");

        Assert.Equal(
            (3, 2, 1L),
            (IdentityFile.Open(disk, new MemberId(3))!.Founders.Count, IdentityFile.Read(disk)!.Incarnation,
            IdentityFile.Read(disk)!.Boot));
        using var snapshots = SnapshotStore.Open(disk);
        using var log = SegmentedLog.Open(disk, Tiny, snapshots, out var found);
        Assert.Equal((new Term(9), MemberId.None), (found.Term, found.Vote));
        Assert.Equal(
            (5L, 4L, 1005L, Three),
            (found.Snapshot!.Index.Value, found.Snapshot.Term.Value, found.Snapshot.Stamp, found.Snapshot.Membership));
        Assert.Equal([$"6/4 {new string('6', 3000)}", "7/9 seven"], Tell(found.Entries));
        Assert.True(log.First > new LogIndex(1), "the first segments are gone");
        Assert.Equal(
            ["znodes: the tree", "proposers: \x1\x2\x3", "znodes: "],
            snapshots.OpenFrames(found.Snapshot).Select(
                frame => $"{frame.Section}: {System.Text.Encoding.UTF8.GetString(frame.Bytes.Span)}"));
    }

    [Fact]
    public void A_directory_of_a_member_that_joined_is_read_value_by_value()
    {
        var disk = GoldenDirectories.Load("joined");
        var identity = IdentityFile.Open(disk, new MemberId(200))!;
        Assert.Equal((4, 1L, 0, 0), (identity.Incarnation, identity.Boot, identity.Founders.Count, identity.RunEnds.Ends.Count));
        using var log = SegmentedLog.Open(disk, Tiny, out var found);
        Assert.Equal((Term.Zero, MemberId.None, 0, 0), (found.Term, found.Vote, found.Entries.Count, found.PeerBoots.Count));
        Assert.Equal(new LogIndex(1), log.Next);
    }

    [Fact]
    public void A_torn_directory_is_cut_behind_what_was_durable()
    {
        var disk = GoldenDirectories.Load("torn");
        var torn = Assert.Single(LogVerifier.Verify(disk, default).Problems);
        Assert.Equal((LogProblemKind.TornTail, 8192L, 3L, false), (torn.Kind, torn.Offset, torn.Index, torn.PreventsStart));
        using var log = SegmentedLog.Open(disk, Tiny, out var found);
        Assert.Equal((new Term(1), new MemberId(2)), (found.Term, found.Vote));
        Assert.Equal(["1/1 one", "2/1 two"], Tell(found.Entries));
    }

    [Fact]
    public void A_rotten_directory_counts_as_ending_where_it_did_until_that_is_there_again()
    {
        var disk = GoldenDirectories.Load("rotten");
        var rot = Assert.Single(LogVerifier.Verify(disk, default).Problems, problem => problem.Kind == LogProblemKind.Rot);
        Assert.Equal((8192L, false), (rot.Offset, rot.PreventsStart));
        using (var log = SegmentedLog.Open(disk, Tiny, out var found))
        {
            Assert.Equal(
                (new Term(6), MemberId.None, new LogEnd(new LogIndex(4), new Term(5))), (found.Term, found.Vote, found.RottenEnd!.Value));
            Assert.Equal(["1/5 entry 1", "2/5 entry 2"], Tell(found.Entries));
            log.Write(Batch(6, 0, Entry(3, 6, "another")));
            log.Sync();
        }
        using (SegmentedLog.Open(disk, Tiny, out var repaired))
        {
            Assert.Null(repaired.RottenEnd);
            Assert.Equal(["1/5 entry 1", "2/5 entry 2", "3/6 another"], Tell(repaired.Entries));
        }
    }

    [Fact]
    public void A_witness_is_read_value_by_value_and_the_word_before_it_if_the_newest_is_damaged()
    {
        var disk = GoldenDirectories.Load("witnessed");
        Assert.Equal(GoldenDirectories.Witnesses(told: 42), Read());

        // The second word stands in the first slot, behind its length and checksum.
        var bytes = File.ReadAllBytes(Path.Combine(GoldenDirectories.Folder("witnessed"), WitnessFile.Name));
        Assert.Equal(256 << 10, bytes.Length);
        bytes[8] ^= 1;
        disk.Put(WitnessFile.Name, bytes);
        Assert.Equal(GoldenDirectories.Witnesses(told: 41), Read());
        // And nothing if both are: a start does without.
        bytes[(128 << 10) + 8] ^= 1;
        disk.Put(WitnessFile.Name, bytes);
        Assert.Empty(Read());

        IReadOnlyList<Witnessed> Read()
        {
            using var file = new WitnessFile(disk);
            return file.Read();
        }
    }

    [Fact]
    public void Every_kind_of_change_and_each_step_of_a_joint_one_is_read_value_by_value()
    {
        var disk = GoldenDirectories.Load("changed");
        Assert.Equal((1, 2L), (IdentityFile.Open(disk, new MemberId(1))!.Incarnation, IdentityFile.Read(disk)!.Boot));
        using var log = SegmentedLog.Open(disk, Tiny, out var found);
        Assert.Equal(Enumerable.Range(2001, 10), found.Entries.Select(e => (int)e.Stamp));
        Assert.Equal(
            GoldenDirectories.Steps, found.Entries.Where(e => e.Kind == EntryKind.Membership).Select(e => MembershipCodec.Decode(e.Payload.Span)));

        var envelopes = found.Entries.Where(e => e.Kind == EntryKind.Command).Select(e => Envelope.Decode(e)).ToList();
        Assert.All(envelopes, e => Assert.Equal((new ProposerId(new(1), 1, 2), 1L), (e.Proposer, e.Floor)));
        Assert.Equal([2, 3, 4, 5, 6, 7, 8], envelopes.Select(e => e.Sequence));
        var changes = found.Entries.Where(e => e.Kind == EntryKind.Command).Select(e => MembershipChange.In(e)!).ToList();
        Assert.Equal(GoldenDirectories.Changes.Select(c => c.GetType()), changes.Select(c => c.GetType()));
        Assert.All(changes, c => Assert.Equal(["1 host-1:7420", "2 ", "3 host-3:7420"], c.Known.Select(k => $"{k.Key} {k.Value}")));
        Assert.Equal((4, "host-4:7420", false), changes[0] is MembershipChange.Add a ? (a.Id.Value, a.Endpoint, a.IsVoter) : default);
        Assert.Equal(3, (changes[1] as MembershipChange.Remove)?.Id.Value);
        Assert.Equal(["1 host-1:7420", "5 host-5:7420", "6 [::1]:7420"], ((MembershipChange.Set)changes[2]).Voters.Select(v => $"{v.Key} {v.Value}"));
        Assert.Equal((1, 7, "host-7:7420"), changes[3] is MembershipChange.Replace r ? (r.Old.Value, r.New.Value, r.Endpoint) : default);
        Assert.Equal(4, (changes[4] as MembershipChange.Promote)?.Id.Value);
        Assert.Equal((8, "host-8:7420"), changes[5] is MembershipChange.AddItself i ? (i.Id.Value, i.Endpoint) : default);
        Assert.Equal(((MembershipChange.AddItself)GoldenDirectories.Changes[5]).Features, ((MembershipChange.AddItself)changes[5]).Features);
        Assert.Equal((5, "elsewhere:7420"), changes[6] is MembershipChange.Move m ? (m.Id.Value, m.Endpoint) : default);
    }

    [Fact]
    public void A_survivors_directory_is_read_value_by_value_and_may_be_forced_again()
    {
        var disk = GoldenDirectories.Load("forced");
        using (var log = SegmentedLog.Open(disk, Tiny, out var found))
        {
            Assert.Equal((new Term(2 + (2L << 32)), MemberId.None), (found.Term, found.Vote));
            Assert.Equal([1, 2 + (1L << 32), 2 + (1L << 32), 2 + (2L << 32), 2 + (2L << 32)], found.Entries.Select(e => e.Term.Value));
            Assert.Equal(
                new Membership([new(new(3), 1)], [new(new(1), 2049), new(new(2), 2049)], []), MembershipCodec.Decode(found.Entries[3].Payload.Span));
            Assert.Equal([1, 2], new[] { 2, 4 }.Select(at => Applier.RecoveryOf(found.Entries[at])!.Epoch));
            Assert.Equal([new(new(1), 2048), new(new(2), 2048)], Applier.RecoveryOf(found.Entries[4])!.LeftBehind);
        }
        using var lost = LostQuorum.Open(disk, Tiny);
        Assert.Equal((GoldenDirectories.Cluster, 2, 3), (lost.ClusterId, lost.Epoch.Epoch, lost.Identity.Member.Value));
        Assert.Equal((3L << 48) | 7, lost.Force());
    }

    [Fact]
    public void An_old_copy_is_refused_with_what_others_found_and_says_what_it_had_promised()
    {
        var disk = GoldenDirectories.Load("oldcopy");
        var identity = IdentityFile.Read(disk)!;
        Assert.Equal(
            (3, 9L, "Member 1 was told more.", TimeSpan.FromMilliseconds(750), "8: 70000"),
            (identity.Incarnation, identity.Boot, identity.RolledBack, identity.LongestPromise, identity.RunEnds.ToString()));
        Assert.Contains(
            "Member 1 was told more.", Assert.Throws<DirectoryRolledBackException>(() => IdentityFile.Open(disk, new MemberId(2))).Message,
            StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Scenes))]
    public async Task The_verifier_reads_it_as_it_lies_there(string scene)
    {
        var report = await LogVerifier.VerifyAsync(GoldenDirectories.Folder(scene));
        Assert.True(report.CanStart == (scene != "oldcopy"), report.ToString());
        Assert.Equal(scene is not ("torn" or "rotten" or "oldcopy"), report.IsSound);
        Assert.Equal(
            scene switch { "founded" => (3, 2, 1, 6, 3), "compacted" => (9, 0, 6, 7, 9), "joined" => (0, 0, 1, 0, 0), "rotten" =>
                (6, 0, 1, 2, 5), "witnessed" => (2, 1, 1, 2, 2), "changed" => (3, 1, 1, 10, 3), "oldcopy" => (7, 2, 1, 1, 7),
                "forced" => (2 + (2L << 32), 0, 1, 5, 2 + (2L << 32)), _ => (1, 2, 1, 2, 1) },
            (report.Term.Value, report.Vote.Value, (int)report.FirstIndex.Value, (int)report.LastIndex.Value, report.LastTerm.Value));
    }

    [Theory]
    [MemberData(nameof(Scenes))]
    public void This_version_still_writes_the_same_bytes(string scene)
    {
        using var directory = new TemporaryDirectory();
        GoldenDirectories.Scenes[scene](new DiskLogDirectory(directory.Path));
        Assert.Equal(Fingerprint(GoldenDirectories.Folder(scene)), Fingerprint(directory.Path));
    }

    [Theory]
    [InlineData("identity", "identity format")]
    [InlineData("page", "page format")]
    [InlineData("segment", "log format")]
    [InlineData("snapshot", "snapshot format")]
    public void A_newer_versions_directory_is_refused_with_both_versions_and_left_as_it_is(string newer, string what)
    {
        using var directory = new TemporaryDirectory();
        foreach (var file in Directory.GetFiles(GoldenDirectories.Folder("compacted")))
            File.Copy(file, Path.Combine(directory.Path, Path.GetFileName(file)));
        File.WriteAllText(Path.Combine(directory.Path, "0000000000000000009-1.snapshot.tmp"), "unfinished");
        FormatForgery.MakeNewer(directory.Path, newer);
        var before = Fingerprint(directory.Path);
        var disk = new DiskLogDirectory(directory.Path);

        var refused = Assert.Throws<UnknownFormatException>(() => Start(disk));

        Assert.Equal((what, 2L, 1L), (refused.What, refused.FoundVersion, refused.KnownVersion));
        Assert.Contains($"{what} 2; this version of RaftKit knows {what} 1", refused.Message, StringComparison.Ordinal);
        Assert.Contains(directory.Path, refused.Message, StringComparison.Ordinal);
        Assert.Contains("Start the version that wrote it", refused.Message, StringComparison.Ordinal);
        Assert.Equal(before, Fingerprint(directory.Path));
        var report = LogVerifier.Verify(new ReadOnlyLogDirectory(directory.Path), default);
        Assert.Contains(report.Problems, problem => problem is { Kind: LogProblemKind.UnknownFormat, PreventsStart: true });
        Assert.Equal(before, Fingerprint(directory.Path));
    }

    [Theory]
    [InlineData("joined", 1)]
    [InlineData("compacted", 1)]
    // The larger ones: every seventh bit, and so each place of a byte in its turn.
    [InlineData("founded", 7)]
    [InlineData("torn", 7)]
    [InlineData("rotten", 13)]
    [InlineData("changed", 7)]
    [InlineData("forced", 7)]
    [InlineData("oldcopy", 7)]
    public void Every_flipped_bit_is_refused_or_changes_nothing_or_is_not_forgotten(string scene, int step)
    {
        var truth = new Answer(GoldenDirectories.Load(scene));
        var (refused, harmless, repairable) = (0, 0, 0);
        var disk = GoldenDirectories.Load(scene);
        foreach (var (name, node) in disk.Files)
        {
            for (var bit = 0; bit < node.Bytes.Length * 8; bit += step)
            {
                node.Bytes[bit / 8] ^= (byte)(1 << (bit % 8));
                if (TryRead(disk, out var answer))
                {
                    Assert.True(answer.Remembers(truth), $"{name}, bit {bit}: {answer} instead of {truth}");
                    _ = answer.HasRot ? repairable++ : harmless++;
                }
                else
                {
                    refused++;
                }
                node.Bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            }
        }
        // Harmless: what stands behind the log's end, in files that count no more, or in a snapshot that the log can do without.
        Assert.True(refused + repairable > 400, $"{refused} refused, {repairable} to be fetched again, {harmless} harmless");
    }

    [Theory]
    [MemberData(nameof(DamagedScenes))]
    public void Cut_at_every_byte_a_file_is_refused_or_its_durable_prefix_is_read(string scene)
    {
        var truth = new Answer(GoldenDirectories.Load(scene));
        foreach (var name in GoldenDirectories.Load(scene).Files.Keys)
        {
            var disk = GoldenDirectories.Load(scene);
            var whole = disk.Files[name].Bytes;
            for (var length = 0; length < whole.Length; length++)
            {
                disk.Put(name, whole[..length]);
                if (TryRead(disk, out var answer))
                    Assert.True(answer.IsPrefixOf(truth), $"{name} cut to {length}: {answer} instead of {truth}");
            }
            disk.Remove(name);
            if (TryRead(disk, out var without) && name != IdentityFile.Name)
                Assert.True(without.IsPrefixOf(truth), $"{name} gone: {without} instead of {truth}");
        }
    }

    /// <summary>As a start reads it, within the memory that it may take.</summary>
    private static bool TryRead(MemoryDirectory disk, out Answer answer)
    {
        var limit = FixedBytes + BytesForEach * disk.Files.Values.Sum(node => node.Bytes.Length);
        var before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            answer = new Answer(disk);
            return true;
        }
        catch (Exception refused) when (refused is LogCorruptException or UnknownFormatException)
        {
            answer = null!;
            return false;
        }
        finally
        {
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, limit);
        }
    }

    private static void Start(ILogDirectory disk)
    {
        using var held = disk.Lock();
        IdentityFile.Open(disk, new MemberId(3));
        using var snapshots = SnapshotStore.Open(disk);
        SegmentedLog.Open(disk, Tiny, snapshots, out _).Dispose();
    }

    private static string Fingerprint(string path) => string.Join('\n', Directory.GetFiles(path).Order(StringComparer.Ordinal)
        .Where(file => Path.GetFileName(file) != DiskLogDirectory.LockName)
        .Select(file =>
            $"{Path.GetFileName(file)} {new FileInfo(file).Length} {Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(file)))}"));

    /// <summary>All that a start learns from a directory.</summary>
    private sealed class Answer
    {
        private readonly DirectoryIdentity? _identity;
        private readonly LogState _log;
        private readonly SnapshotMark? _snapshot;

        public Answer(ILogDirectory disk)
        {
            _identity = IdentityFile.Read(disk);
            using var snapshots = SnapshotStore.Open(disk);
            var recovery = LogRecovery.Read(disk);
            _snapshot = snapshots.Newest;
            recovery.Settle(_snapshot);
            _log = recovery.State;
            if (!recovery.Begun && (_snapshot is not null || _identity is not null))
                throw new LogCorruptException("no log");
        }

        public bool HasRot => _log.RottenEnd is not null;

        /// <summary>The same; or entries are missing, and the member counts as one that has them.</summary>
        public bool Remembers(Answer truth) => IsPrefixOf(truth) && _log.Vote == truth._log.Vote && _log.Term == truth._log.Term
            && (_log.RottenEnd is { } rotten
                ? rotten.Reaches(truth._log.RottenEnd ?? new LogEnd(truth.Last, truth._log.LastTerm))
                : Last == truth.Last && !truth.HasRot);

        public bool IsPrefixOf(Answer truth) =>
            (_identity is null ? truth._identity is null : truth._identity is { } true_ && _identity.Member == true_.Member
                && _identity.Boot == true_.Boot
                && _identity.Incarnation == true_.Incarnation && _identity.ClusterId == true_.ClusterId
                    && _identity.RunEnds.Equals(true_.RunEnds))
            && (_snapshot is null || _snapshot == truth._snapshot)
            && _log.Term <= truth._log.Term && Last <= truth.Last
            && _log.Entries.All(entry => LogModel.Same(entry, truth._log.Entries[(int)(entry.Index - truth._log.First)]));

        public override string ToString() => $"term {_log.Term} vote {_log.Vote} entries {_log.First} to {Last}";

        private LogIndex Last => _log.Next.Previous;
    }
}
