using RaftKit.Znodes.Tree;
using Xunit;

namespace RaftKit.Znodes.Tests.Tree;

public sealed class ReadGateTests
{
    private sealed class Shared
    {
        public ReadGate Gate { get; } = new();

        public int Left { get; set; }

        public int Right { get; set; }

        public int Reads { get; set; }

        public int ExclusiveReads { get; set; }

        public void Entry()
        {
            Gate.Enter();
            Left++;
            Right++;
            Gate.Exit();
        }
    }

    [Fact]
    public void A_read_during_which_an_entry_was_applied_is_thrown_away_and_done_again()
    {
        var shared = new Shared();
        var (left, right) = shared.Gate.Read(shared, 2, static (Shared s, int disturbed, bool exclusive, out (int, int) seen) =>
        {
            var left = s.Left;
            if (s.Reads++ < disturbed)
                s.Entry();
            seen = (left, s.Right);
            return true;
        });
        Assert.Equal((2, 2), (left, right));
        Assert.Equal(3, shared.Reads);
    }

    [Fact]
    public void A_read_during_which_an_entry_began_is_thrown_away_too()
    {
        var shared = new Shared();
        var seen = shared.Gate.Read(shared, 0, static (Shared s, int _, bool exclusive, out int seen) =>
        {
            seen = s.Left;
            // The entry is still being applied when the read ends. The lock is the thread's own, so that the last read gets it.
            if (s.Reads++ == 0)
            {
                s.Gate.Enter();
                s.Left = 1;
            }
            s.ExclusiveReads += exclusive ? 1 : 0;
            return true;
        });
        shared.Gate.Exit();
        Assert.Equal((1, 2, 1), (seen, shared.Reads, shared.ExclusiveReads));
    }

    [Fact]
    public void A_read_that_keeps_losing_is_done_exclusively()
    {
        var shared = new Shared();
        var (left, right) = shared.Gate.Read(shared, 0, static (Shared s, int _, bool exclusive, out (int, int) seen) =>
        {
            s.Reads++;
            var left = s.Left;
            if (exclusive)
                s.ExclusiveReads++;
            else
                s.Entry();
            seen = (left, s.Right);
            return true;
        });
        Assert.Equal(left, right);
        Assert.Equal(1, shared.ExclusiveReads);
        Assert.Equal(shared.Reads - 1, left);
    }

    [Fact]
    public void A_read_that_gave_up_is_not_believed()
    {
        var shared = new Shared();
        var seen = shared.Gate.Read(shared, 0, static (Shared s, int _, bool exclusive, out string seen) =>
        {
            seen = exclusive ? "whole" : "half";
            return exclusive;
        });
        Assert.Equal("whole", seen);
    }

    [Fact]
    public async Task An_exclusive_read_keeps_entries_out()
    {
        var shared = new Shared();
        Task? entry = null;
        var (before, after) = shared.Gate.Read(shared, 0, (Shared s, int _, bool exclusive, out (int, int) seen) =>
        {
            seen = default;
            if (!exclusive)
                return false;
            var left = s.Left;
            using var started = new ManualResetEventSlim();
            entry = Task.Factory.StartNew(
                () =>
                {
                    started.Set();
                    s.Entry();
                },
                TaskCreationOptions.LongRunning);
            started.Wait();
            for (var i = 0; i < 1000; i++)
                Thread.Yield();
            seen = (left, s.Left);
            return true;
        });
        Assert.Equal((0, 0), (before, after));
        await entry!;
        Assert.Equal(1, shared.Left);
    }
}
