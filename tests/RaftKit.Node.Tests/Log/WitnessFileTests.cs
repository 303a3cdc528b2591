using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using Xunit;

namespace RaftKit.Node.Tests.Log;

/// <summary>What others told of their disks outlives this process, and costs nobody anything if it does not.</summary>
public sealed class WitnessFileTests
{
    private readonly MemoryDirectory _disk = new(new Random(5));

    [Fact]
    public void The_newest_that_was_written_is_read_back_value_by_value()
    {
        Assert.Empty(Read());
        Write(Told(1), Told(2));
        Write(Told(3));
        Assert.Equal(Told(3), Read());
        // It goes on counting.
        Write(Told(4));
        Assert.Equal(Told(4), Read());
        Assert.Equal(256 << 10, _disk.Files[WitnessFile.Name].Bytes.Length);
    }

    [Fact]
    public void Any_flipped_bit_costs_at_most_the_newest_and_is_never_believed()
    {
        Write(Told(1), Told(2));
        var whole = _disk.Files[WitnessFile.Name].Bytes;
        var newest = 0;
        foreach (var slot in new[] { 0, 128 << 10 })
        {
            for (var at = slot; at < slot + 160; at++)
            {
                for (var bit = 0; bit < 8; bit++)
                {
                    whole[at] ^= (byte)(1 << bit);
                    var read = Read();
                    Assert.True(read is [{ Told: 1 or 2 }], $"bit {bit} of byte {at}: {read.Count}");
                    newest += read[0].Told == 2 ? 1 : 0;
                    whole[at] ^= (byte)(1 << bit);
                }
            }
        }
        Assert.InRange(newest, 1280, 2559);
    }

    [Fact]
    public void A_file_that_was_cut_short_or_never_filled_tells_nothing_and_is_written_on()
    {
        Write(Told(1), Told(2));
        var whole = _disk.Files[WitnessFile.Name].Bytes;
        for (var length = 0; length < 200; length++)
        {
            _disk.Put(WitnessFile.Name, whole[..length]);
            Assert.True(Read() is [] or [{ Told: 2 }], $"{length} bytes");
        }
        Write(Told(9));
        Assert.Equal(9, Read().Single().Told);
    }

    [Fact]
    public void A_power_cut_during_a_write_leaves_what_was_there_before_it()
    {
        for (var seed = 0; seed < 200; seed++)
        {
            var disk = new MemoryDirectory(new Random(seed));
            using (var file = new WitnessFile(disk))
            {
                file.Read();
                file.Write([One(1)]);
                disk.PowerGoesAt = disk.Operations + 1 + (seed % 4);
                try
                {
                    file.Write([One(2)]);
                    file.Write([One(3)]);
                }
                catch (IOException)
                {
                    // The power is gone.
                }
            }
            disk.CutPower();
            using var again = new WitnessFile(disk);
            Assert.True(again.Read() is [{ Told: >= 1 and <= 3 }], $"seed {seed}");
        }
    }

    private static IReadOnlyList<Witnessed> Told(long batch) => [One(batch)];

    private static Witnessed One(long batch) => new(
        new MemberId(3), 2, 9, batch, new HostProcess("a machine", 4026531836, 4242, 123456), new RunEnds([new(7, 100), new(8, 70_000)]));

    private void Write(params IReadOnlyList<Witnessed>[] all)
    {
        using var file = new WitnessFile(_disk);
        file.Read();
        foreach (var one in all)
            file.Write(one);
    }

    private IReadOnlyList<Witnessed> Read()
    {
        using var file = new WitnessFile(_disk);
        return file.Read();
    }
}
