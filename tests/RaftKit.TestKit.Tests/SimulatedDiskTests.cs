using RaftKit.Node.Log;

namespace RaftKit.TestKit.Tests;

public sealed class SimulatedDiskTests
{
    private readonly FaultCounters _faults = new();
    private readonly SimulatedDisk _disk;

    public SimulatedDiskTests() => _disk = new SimulatedDisk("disk", new SimulatedRandom(1), _faults);

    [Fact]
    public void A_power_cut_loses_names_that_were_not_synced_with_the_directory()
    {
        var survived = 0;
        for (var i = 0; i < 100; i++)
        {
            var disk = new SimulatedDisk("disk", new SimulatedRandom((ulong)i), _faults);
            using (var file = disk.Create("a", 512))
                file.Sync();
            disk.PowerCut();
            survived += disk.Exists("a") ? 1 : 0;
        }
        Assert.InRange(survived, 1, 99);
    }

    [Fact]
    public void What_was_synced_survives_every_power_cut()
    {
        for (var i = 0; i < 100; i++)
        {
            var disk = new SimulatedDisk("disk", new SimulatedRandom((ulong)i), _faults);
            var file = disk.Create("a", 8192);
            file.Write(1000, "durable"u8);
            file.Sync();
            disk.Sync();
            file.Write(4096, "not yet"u8);
            disk.PowerCut();
            Assert.Equal("durable", Read(disk, "a", 1000, 7));
        }
    }

    [Fact]
    public void Each_unsynced_sector_is_kept_dropped_or_torn_by_itself()
    {
        var seen = new HashSet<string>();
        for (var i = 0; i < 200; i++)
        {
            var disk = new SimulatedDisk("disk", new SimulatedRandom((ulong)i), _faults);
            var file = disk.Create("a", 4096);
            file.Sync();
            disk.Sync();
            file.Write(0, Enumerable.Repeat((byte)'x', 1024).ToArray());
            disk.PowerCut();
            seen.Add(string.Concat(Sector(disk, 0), Sector(disk, 1)));
        }
        Assert.Superset(new HashSet<string> { "++", "--", "+-", "-+" }, seen);
        Assert.Contains(seen, s => s.Contains('/'));
        Assert.True(_faults.Torn > 0);

        static char Sector(SimulatedDisk disk, int sector)
        {
            var text = Read(disk, "a", sector * 512, 512);
            return text.All(c => c == 'x') ? '+' : text.All(c => c == '\0') ? '-' : '/';
        }
    }

    [Fact]
    public void A_killed_process_leaves_what_it_wrote_and_its_lock_is_gone()
    {
        var held = _disk.Lock();
        Assert.Throws<DirectoryInUseException>(() => _disk.Lock());
        var file = _disk.Create("a", 512);
        file.Write(0, "written"u8);

        _disk.ProcessDied();

        Assert.Equal("written", Read(_disk, "a", 0, 7));
        Assert.Throws<ObjectDisposedException>(() => file.Write(0, "ghost"u8));
        using var again = _disk.Lock();
        held.Dispose();
        Assert.Throws<DirectoryInUseException>(() => _disk.Lock());
    }

    [Fact]
    public void After_a_failed_sync_no_later_sync_makes_the_lost_sectors_durable()
    {
        var lost = 0;
        for (var i = 0; i < 100; i++)
        {
            var disk = new SimulatedDisk("disk", new SimulatedRandom((ulong)i), _faults);
            var file = disk.Create("a", 512);
            file.Sync();
            disk.Sync();
            file.Write(0, "x"u8);
            disk.FailSyncIn(1);
            Assert.Throws<IOException>(file.Sync);
            file.Sync();
            disk.PowerCut();
            lost += Read(disk, "a", 0, 1) == "x" ? 0 : 1;
        }
        Assert.InRange(lost, 1, 99);
        Assert.Equal(100, _faults.Fsync);
    }

    [Fact]
    public void The_power_can_go_in_the_middle_of_a_piece_of_work()
    {
        var file = _disk.Create("a", 512);
        _disk.StopIn(2);
        file.Write(0, "x"u8);
        Assert.Throws<SimulatedStopException>(file.Sync);
        Assert.Throws<SimulatedStopException>(() => _disk.List());
        _disk.PowerCut();
        Assert.Empty(_disk.List());
    }

    [Fact]
    public void The_durable_copy_is_what_would_be_left_if_everything_unsynced_were_lost()
    {
        var file = _disk.Create("a", 4096);
        file.Write(0, "old"u8);
        file.Sync();
        _disk.Sync();
        file.Write(0, "new"u8);
        _disk.Create("b", 512).Sync();
        _disk.Rename("a", "c");

        var copy = _disk.DurableCopy();

        Assert.Equal(["a"], copy.List());
        Assert.Equal("old", Read(copy, "a", 0, 3));
        Assert.Equal("new", Read(_disk, "c", 0, 3));
        file.Write(1, "!"u8);
        Assert.Equal("old", Read(copy, "a", 0, 3));
    }

    [Fact]
    public void A_full_disk_refuses_to_grow_and_still_overwrites()
    {
        var file = _disk.Create("a", 512);
        _disk.IsFull = true;
        file.Write(0, "x"u8);
        Assert.Throws<IOException>(() => file.Write(511, "xy"u8));
        Assert.Throws<IOException>(() => _disk.Create("b", 512));
    }

    private static string Read(SimulatedDisk disk, string name, long offset, int count)
    {
        var bytes = new byte[count];
        using var file = disk.Open(name);
        return System.Text.Encoding.ASCII.GetString(bytes, 0, file.Read(offset, bytes));
    }

    [Fact]
    public void A_failing_disk_fails_calls_and_reads_by_themselves_keeps_what_it_took_and_works_again()
    {
        var (failed, wrong, synced) = (0, 0, 0);
        for (var i = 0; i < 300; i++)
        {
            var disk = new SimulatedDisk("disk", new SimulatedRandom((ulong)i), _faults);
            disk.Create("a", 4096).Dispose();
            disk.Sync();
            using var file = disk.Open("a");
            disk.Failing = new FailingDisk(new SimulatedRandom((ulong)i), _faults.Coverage, mayMisread: true);
            var (held, read) = (new byte[512], new byte[512]);
            for (byte round = 1; round < 40; round++)
            {
                try
                {
                    var bytes = Enumerable.Repeat(round, 512).ToArray();
                    file.Write(0, bytes);
                    file.Sync();
                    (held, synced) = (bytes, synced + 1);
                    file.Read(0, read);
                    wrong += read.SequenceEqual(held) ? 0 : 1;
                }
                catch (IOException failure)
                {
                    Assert.Contains("(simulated failing disk)", failure.Message, StringComparison.Ordinal);
                    failed++;
                    // What a failed call leaves is no promise: what the next sync covers is.
                    break;
                }
            }
            disk.Failing = null;
            var kept = disk.DurableCopy();
            using var copy = kept.Open("a");
            copy.Read(0, read);
            Assert.True(read[0] >= held[0], $"Seed {i}: {held[0]} was synced, and {read[0]} is kept.");
        }
        Assert.True(failed > 50 && wrong > 50 && synced > 1000, $"{failed} calls failed, {wrong} reads were wrong, {synced} rounds were synced.");
    }
}
