using RaftKit.Node.Loop;
using Xunit;

namespace RaftKit.Node.Tests.Loop;

/// <summary>Snapshots that take the place of what rotted: the first at once, then ever more slowly.</summary>
public sealed class HealingPaceTests
{
    private readonly HealingPace _pace = new();

    [Fact]
    public void A_disk_that_rots_each_snapshot_at_once_gets_them_ever_more_slowly_and_never_none()
    {
        var began = new List<int>();
        for (var second = 1; second <= 400; second++)
        {
            // Asked many times a second, as each turn of the loop does.
            for (var turn = 0; turn < 3; turn++)
            {
                var now = TimeSpan.FromSeconds(second) + TimeSpan.FromMilliseconds(turn);
                if (!_pace.Allows(now))
                    continue;
                _pace.Begin(now);
                began.Add(second);
            }
        }

        Assert.Equal([1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 320, 384], began);
        Assert.Equal((12, HealingPace.LongestPause), (_pace.InARow, _pace.Pause));
    }

    [Fact]
    public void One_that_held_for_long_is_not_held_against_the_next()
    {
        for (var i = 0; i < 4; i++)
            _pace.Begin(TimeSpan.FromSeconds(i * 8));
        Assert.Equal(4, _pace.InARow);

        var later = TimeSpan.FromSeconds(24) + (2 * HealingPace.LongestPause);
        Assert.True(_pace.Allows(later));
        _pace.Begin(later);

        Assert.Equal((1, HealingPace.ShortestPause), (_pace.InARow, _pace.Pause));
    }
}
