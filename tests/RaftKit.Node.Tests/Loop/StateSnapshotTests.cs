using System.Buffers;
using System.Collections.Immutable;
using System.Text;
using RaftKit.Consensus;
using RaftKit.Node.Loop;
using Xunit;

namespace RaftKit.Node.Tests.Loop;

public sealed class StateSnapshotTests
{
    [Theory]
    [InlineData(0, 10)]
    [InlineData(1, 0)]
    [InlineData(1, 1 << 20)]
    [InlineData(3, 32 << 10)]
    [InlineData(20_000, 7)]
    public void Items_come_back_one_by_one_in_their_order(int count, int length)
    {
        var items = Enumerable.Range(0, count).Select(n => $"{n}".PadRight(length, 'x')[..length]).ToImmutableList();

        Assert.Equal(items, Restored(Frames(items)));
    }

    [Fact]
    public void A_slice_is_little_work_and_holds_many_items()
    {
        var frames = Frames(Enumerable.Range(0, 20_000).Select(n => $"{n:D10}").ToImmutableList());

        Assert.All(frames, frame => Assert.InRange(frame.Length, 0, 40 << 10));
        Assert.InRange(frames.Count, 2, 20);
    }

    [Fact]
    public void What_is_captured_is_the_state_of_that_moment()
    {
        var state = ImmutableList.Create("early");
        using var capture = Capture(state);

        state = state.Add("late");

        Assert.Equal(["early"], Restored(Frames(capture)));
        Assert.Equal(2, state.Count);
    }

    [Fact]
    public void The_state_is_replaced_at_the_end_only()
    {
        var done = 0;
        var taken = 0;
        var restorer = StateSnapshot.Restore(_ => taken++, () => done++);
        foreach (var frame in Frames(["a", "b"]))
            restorer.Frame(frame);
        Assert.Equal((2, 0), (taken, done));

        restorer.Complete(new CommandContext(new LogIndex(2), new Term(1), 3, 2));

        Assert.Equal(1, done);
    }

    [Theory]
    [InlineData(new byte[] { 1, 0, 0 }, "item of -1 bytes, 3 are left")]
    [InlineData(new byte[] { 2, 0, 0, 0, 7 }, "item of 2 bytes, 5 are left")]
    [InlineData(new byte[] { 255, 255, 255, 255 }, "item of -1 bytes, 4 are left")]
    [InlineData(new byte[] { 255, 255, 255, 127, 0 }, "item of 2147483647 bytes, 5 are left")]
    public void A_frame_of_another_hand_is_refused_and_takes_no_memory(byte[] frame, string told)
    {
        var restorer = StateSnapshot.Restore(_ => { }, () => { });

        Assert.Contains(told, Assert.Throws<InvalidDataException>(() => restorer.Frame(frame)).Message);
    }

    private static ISnapshotCapture Capture(IEnumerable<string> items) =>
        StateSnapshot.Capture(items, (item, frame) => System.Text.Encoding.UTF8.GetBytes(item, frame));

    private static List<byte[]> Frames(IEnumerable<string> items)
    {
        using var capture = Capture(items);
        return Frames(capture);
    }

    private static List<byte[]> Frames(ISnapshotCapture capture)
    {
        var frames = new List<byte[]>();
        for (var more = true; more;)
        {
            var frame = new ArrayBufferWriter<byte>();
            more = capture.WriteSlice(frame);
            frames.Add(frame.WrittenSpan.ToArray());
        }

        return frames;
    }

    private static List<string> Restored(List<byte[]> frames)
    {
        var items = new List<string>();
        var restorer = StateSnapshot.Restore(item => items.Add(System.Text.Encoding.UTF8.GetString(item.Span)), () => { });
        foreach (var frame in frames)
            restorer.Frame(frame);
        restorer.Complete(default);
        return items;
    }
}
