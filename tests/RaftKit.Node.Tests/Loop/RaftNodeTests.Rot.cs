using System.Buffers.Binary;
using System.Diagnostics;
using RaftKit.Consensus;
using RaftKit.Node.Log;
using Xunit;

namespace RaftKit.Node.Tests.Loop;

/// <summary>
/// Disks that rot under whole members (protocol-aware recovery, Alagappan et al., FAST'18): a bit of a real file is flipped while its
/// member is down.
/// </summary>
public sealed partial class RaftNodeTests
{
    // Who leads must go on, also where a busy machine does not run it for half a second: what is spoilt is its disk.
    private const int PatientTicks = 400;

    [Fact]
    public async Task A_member_with_a_flipped_bit_in_a_committed_record_counts_does_not_campaign_and_fetches_it_again()
    {
        Configure(3);
        StartAll();
        var values = Enumerable.Range(1, 60).Select(i => 0x5eed_0000_0000_0000 + (i * 0x01_0101_0101)).ToList();
        foreach (var value in values)
            await ProposeAsync(1, value);
        await AllHoldAsync(values);
        var rotten = Follower();
        foreach (var id in _members.Keys.ToList())
            await StopAsync(id);

        Flip(DirectoryOf(rotten), "*.log", values[20]);

        Assert.Equal(0, await ComesBackWholeAsync(rotten, values));
    }

    [Fact]
    public async Task A_member_with_a_flipped_bit_in_its_snapshot_counts_does_not_campaign_and_fetches_it_again()
    {
        _snapshotEvery = 20;
        _log = new SegmentedLogOptions { SegmentBytes = 64 << 10, FirstSegmentBytes = 16 << 10, PrepareBytes = 16 << 10 };
        Configure(3);
        StartAll();
        var values = Enumerable.Range(1, 90).Select(i => 0x5eed_0000_0000_0000 + (i * 0x01_0101_0101)).ToList();
        foreach (var value in values)
            await ProposeAsync(1, value);
        await AllHoldAsync(values);
        // The log behind the snapshot is gone: it alone holds the first values.
        await Eventually.HoldsAsync(
            Patience, () =>
            _members.Keys.All(
                id => Directory.GetFiles(DirectoryOf(id), "*.snapshot").Length == 1 && !Holds(DirectoryOf(id), "*.log", values[5])));
        var rotten = Follower();
        foreach (var id in _members.Keys.ToList())
            await StopAsync(id);

        Flip(DirectoryOf(rotten), "*.snapshot", values[5]);

        Assert.Equal(1, await ComesBackWholeAsync(rotten, values));
    }

    [Fact]
    public async Task An_entry_that_rots_under_a_running_leader_is_replaced_by_a_snapshot_for_who_lacks_it_and_nobody_stops()
    {
        (_keepMemory, _electionTicks) = (0, PatientTicks);
        Configure(3);
        StartAll();
        var values = Enumerable.Range(1, 60).Select(i => 0x5eed_0000_0000_0000 + (i * 0x01_0101_0101)).ToList();
        await ProposeAsync(1, values[0]);
        var (leader, behind) = (Leader(), Follower());
        await StopAsync(behind);
        foreach (var value in values.Skip(1))
            await ProposeAsync(leader, value);
        FlipInPlace(DirectoryOf(leader), "*.log", values[40]);
        var (node, term) = (_members[leader].Node, _members[leader].Node.Status.Term);

        Start(behind);
        await AllHoldAsync(values);

        Assert.Equal((leader, term), (Leader(), node.Status.Term));
        Assert.Equal((1, 1), (node.Counters.RotMet, _members[behind].Node.Counters.SnapshotsInstalled));
        await IsWholeAfterAStartAsync(leader, values);
    }

    [Fact]
    public async Task A_snapshot_that_rots_under_a_running_leader_is_written_anew_for_who_lacks_it_and_nobody_stops()
    {
        (_keepMemory, _snapshotEvery, _electionTicks) = (0, 5_000, PatientTicks);
        _log = new SegmentedLogOptions { SegmentBytes = 64 << 10, FirstSegmentBytes = 16 << 10, PrepareBytes = 16 << 10 };
        Configure(3);
        StartAll();
        var values = Enumerable.Range(1, 22_000).Select(i => 0x5eed_0000_0000_0000 + (i * 0x01_0101_0101)).ToList();
        await ProposeAsync(1, values[0]);
        var (leader, behind) = (Leader(), Follower());
        await StopAsync(behind);
        foreach (var some in values.Skip(1).Chunk(500))
            await Task.WhenAll(some.Select(value => ProposeAsync(leader, value)));
        var node = _members[leader].Node;
        await Eventually.HoldsAsync(Patience, () => node.Loop.Core!.SnapshotIndex.Value > 20_000 && Directory.GetFiles(DirectoryOf(leader), "*.snapshot").Length == 1);
        var term = node.Status.Term;
        FlipInPlace(DirectoryOf(leader), "*.snapshot", values[5]);

        Start(behind);
        await AllHoldAsync(values);

        Assert.Equal((leader, term), (Leader(), node.Status.Term));
        Assert.Equal((1, 1), (node.Counters.RotMet, _members[behind].Node.Counters.SnapshotsInstalled));
        await IsWholeAfterAStartAsync(leader, values);
    }

    [Fact]
    public async Task A_disk_that_rots_each_snapshot_at_once_gets_them_slowly_and_the_first_that_stays_whole_is_enough()
    {
        (_keepMemory, _snapshotEvery, _chunk, _electionTicks) = (0, 5_000, 1024, PatientTicks);
        _log = new SegmentedLogOptions { SegmentBytes = 64 << 10, FirstSegmentBytes = 16 << 10, PrepareBytes = 16 << 10 };
        Configure(3);
        StartAll();
        var values = Enumerable.Range(1, 22_000).Select(i => 0x5eed_0000_0000_0000 + (i * 0x01_0101_0101)).ToList();
        await ProposeAsync(1, values[0]);
        var (leader, behind) = (Leader(), Follower());
        await StopAsync(behind);
        foreach (var some in values.Skip(1).Chunk(500))
            await Task.WhenAll(some.Select(value => ProposeAsync(leader, value)));
        var node = _members[leader].Node;
        await Eventually.HoldsAsync(Patience, () => node.Loop.Core!.SnapshotIndex.Value > 20_000);

        Start(behind);
        var began = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(3)
            || (node.Counters.HealingSnapshots == 0 && Stopwatch.GetElapsedTime(began) < TimeSpan.FromMinutes(2)))
        {
            // Behind the first chunks: who needs it has not read so far when it is hit.
            foreach (var name in Directory.GetFiles(DirectoryOf(leader), "*.snapshot"))
                SpoilEnd(name);
            await Task.Yield();
        }
        var took = Stopwatch.GetElapsedTime(began);

        // At 0, 1, 3, 7... s.
        Assert.InRange(node.Counters.HealingSnapshots, 1, 1 + (long)Math.Log2(took.TotalSeconds + 1));
        await AllHoldAsync(values);
    }

    [Fact]
    public async Task A_page_of_the_newest_segment_that_rots_under_a_running_leader_and_was_replaced_costs_no_vote()
    {
        (_keepMemory, _electionTicks) = (0, PatientTicks);
        Configure(3);
        StartAll();
        var values = Enumerable.Range(1, 60).Select(i => 0x5eed_0000_0000_0000 + (i * 0x01_0101_0101)).ToList();
        await ProposeAsync(1, values[0]);
        var (leader, behind) = (Leader(), Follower());
        await StopAsync(behind);
        foreach (var value in values.Skip(1))
            await ProposeAsync(leader, value);
        Spoil(DirectoryOf(leader), "*.log", values[40]);

        Start(behind);
        await AllHoldAsync(values);
        var node = _members[leader].Node;
        Assert.Equal(1, node.Counters.RotMet);
        // The others first: who hands its leadership over votes behind the rotten page, and a later vote tells of the one before.
        foreach (var other in _members.Keys.Where(id => id != leader).ToList())
            await StopAsync(other);
        var (boot, term, vote) = (node.Loop.Boot, node.Status.Term, node.Loop.Core!.Vote);
        await StopAsync(leader);

        // A vote may have stood in that page: this start counts as wiped, and is refused, unless a later segment repeats it.
        Start(leader);
        node = _members[leader].Node;
        Assert.Equal((1, boot + 1), (node.Loop.Incarnation, node.Loop.Boot));
        Assert.Equal((term, vote), (node.Loop.Core!.Term, node.Loop.Core.Vote));
        Assert.Null(node.Status.RottenEnd);
        Start(behind);
        await AllHoldAsync(values);
        Assert.Equal(values.Count + 1, await ProposeAsync(leader, 5));
    }

    // What took its place is on its disk: the rest is not needed any more.
    private async Task IsWholeAfterAStartAsync(int member, List<long> values)
    {
        await StopAsync(member);
        Start(member);
        Assert.Null(_members[member].Node.Status.RottenEnd);
        await AllHoldAsync(values);
    }

    /// <returns>How many snapshots the repair took.</returns>
    private async Task<long> ComesBackWholeAsync(int rotten, List<long> values)
    {
        var other = Enumerable.Range(1, 3).First(id => id != rotten);
        Start(rotten);
        var node = _members[rotten].Node;
        var end = Assert.IsType<LogIndex>(node.Status.RottenEnd);
        Assert.True(node.Loop.Core!.LastIndex < end);
        // It counts: term and vote are as they were, and its log ends where it ended.
        Assert.True(node.Loop.Core.Term > Term.Zero && end.Value >= values.Count);

        // For ten election timeouts alone: another would ask for votes after two of them.
        var (term, turns) = (node.Status.Term, node.Counters.Turns);
        var roles = new HashSet<RaftRole>();
        await Eventually.HoldsAsync(Patience, () =>
        {
            roles.Add(node.Loop.Core.Role);
            return node.Counters.Turns >= turns + 400;
        });
        Assert.Equal([RaftRole.Follower], roles);
        Assert.Equal((term, end), (node.Status.Term, node.Status.RottenEnd!.Value));

        // The vote of the one is needed to elect the other, which has what it lacks.
        Start(other);
        await Eventually.HoldsAsync(Patience, () => node.Status.RottenEnd is null);
        Assert.Equal((other, 1), (node.Status.Leader.Value, node.Counters.Repairs));
        var installed = node.Counters.SnapshotsInstalled;
        values.Add(0x5eed);
        Assert.Equal(values.Count, await ProposeAsync(rotten, 0x5eed));
        await AllHoldAsync(values);

        // It is whole, also on its disk, and by itself: the third, which missed the last, could not lead without it.
        await StopAsync(other);
        await StopAsync(rotten);
        Start(rotten);
        Assert.Null(_members[rotten].Node.Status.RottenEnd);
        var third = Enumerable.Range(1, 3).First(id => id != rotten && id != other);
        Start(third);
        await AllHoldAsync(values);
        Assert.Equal(rotten, _members[third].Node.Status.Leader.Value);
        return installed;
    }

    private static bool Holds(string directory, string files, long value) =>
        Directory.GetFiles(directory, files).Any(file => Read(file).AsSpan().IndexOf(Pattern(value)) >= 0);

    // A member may have the file open, or may have deleted it meanwhile.
    private static byte[] Read(string path)
    {
        try
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            var bytes = new byte[file.Length];
            file.ReadExactly(bytes);
            return bytes;
        }
        catch (FileNotFoundException)
        {
            return [];
        }
    }

    private static byte[] Pattern(long value)
    {
        var pattern = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(pattern, value);
        return pattern;
    }

    /// <summary>Flips a bit of a value under the member that has the file open.</summary>
    private static void FlipInPlace(string directory, string files, long value)
    {
        var name = Directory.GetFiles(directory, files).Single(file => Read(file).AsSpan().IndexOf(Pattern(value)) >= 0);
        using var file = new FileStream(name, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
        file.Position = Read(name).AsSpan().IndexOf(Pattern(value)) + 3;
        var old = file.ReadByte();
        file.Position--;
        file.WriteByte((byte)(old ^ 0x10));
    }

    /// <summary>Sets a byte of a snapshot that its checksum covers to what it is hardly ever; again makes no difference.</summary>
    private static void SpoilEnd(string name)
    {
        try
        {
            using var file = new FileStream(name, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
            file.Position = file.Length - 4096;
            file.Write("not what was written"u8);
        }
        catch (FileNotFoundException)
        {
            // Replaced by the next one meanwhile.
        }
    }

    /// <summary>Spoils the page with a value, the whole of it, under the member that has the file open.</summary>
    private static void Spoil(string directory, string files, long value)
    {
        var name = Directory.GetFiles(directory, files).Single(file => Read(file).AsSpan().IndexOf(Pattern(value)) >= 0);
        using var file = new FileStream(name, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
        var page = Read(name).AsSpan().IndexOf(Pattern(value)) / PageFormat.PageSize;
        file.Position = page * PageFormat.PageSize;
        var garbage = new byte[PageFormat.PageSize];
        new Random(7).NextBytes(garbage);
        file.Write(garbage);
    }

    /// <summary>Flips a bit of a value in the one file that holds it.</summary>
    private static void Flip(string directory, string files, long value)
    {
        var pattern = Pattern(value);
        var flipped = 0;
        foreach (var file in Directory.GetFiles(directory, files))
        {
            var bytes = File.ReadAllBytes(file);
            // Not only once: recovery writes again, behind it, what it could not trust to be durable.
            for (var at = bytes.AsSpan().IndexOf(pattern); at >= 0; at = bytes.AsSpan().IndexOf(pattern))
            {
                bytes[at + 3] ^= 0x10;
                flipped++;
            }
            File.WriteAllBytes(file, bytes);
        }
        Assert.True(flipped > 0, $"no file {files} in {directory} holds {value:x}");
    }
}
