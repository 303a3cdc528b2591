using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Loop;
using RaftKit.Znodes.Tree;
using Xunit;

namespace RaftKit.Znodes.Tests.Tree;

public sealed class CaptureTests
{
    private readonly Scene _scene = new();

    [Fact]
    public void What_is_written_is_the_state_of_the_moment_however_much_changes_meanwhile()
    {
        for (var seed = 1; seed <= 60; seed++)
        {
            var commands = new RandomCommands(seed);
            var (tree, model) = (new ZnodeTree(), new TreeModel());
            var changes = new List<TreeChange>();
            long zxid = 0;
            void Step()
            {
                var stamp = new TreeStamp(++zxid, zxid);
                if (commands.Random.Next(40) == 0)
                {
                    var session = commands.Session();
                    tree.RemoveEphemerals(session, stamp, changes);
                    model.EndSession(session, stamp);
                    return;
                }
                var (command, owner) = (commands.Next(), commands.Session());
                tree.Apply(command, owner, stamp, changes);
                model.Apply(command, owner, stamp);
            }

            for (var round = 0; round < 6; round++)
            {
                for (var i = commands.Random.Next(300); i > 0; i--)
                    Step();
                var (then, digest, at) = (model.Copy(), tree.Digest, zxid);
                // A capture may be given up half-way; the next one must not notice.
                var abandoned = round % 3 == 2;
                var frames = Slices(tree.Capture(), beforeSlice: Step, stopEarly: abandoned);
                if (abandoned)
                    continue;

                var restored = Scene.Restored(Shuffled(frames, commands.Random), new CommandContext(new LogIndex(at), new Term(1), at, at));
                Assert.Equal(digest, restored.Digest);
                ModelTests.AssertSame(then, restored, $"seed {seed} round {round}, restored");
                ModelTests.AssertSame(model, tree, $"seed {seed} round {round}");
            }
        }
    }

    [Fact]
    public void A_slice_is_bounded_in_nodes_and_bytes_with_a_million_znodes()
    {
        // Built as a snapshot is restored, which is the quickest way; a thousand parents of a thousand children.
        var changes = new List<TreeChange>();
        var tree = _scene.Tree;
        var data = new byte[16];
        for (var parent = 0; parent < 1000; parent++)
        {
            tree.Apply(new TreeCommand.Create($"/p{parent}", data), 1, new TreeStamp(parent + 1, 1), changes);
            for (var child = 0; child < 1000; child++)
                tree.Apply(new TreeCommand.Create($"/p{parent}/n{child}", data), 1, new TreeStamp(parent + 1, 1), changes);
            changes.Clear();
        }
        Assert.Equal(1_001_001, tree.Count);

        var (digest, written, slices) = (tree.Digest, 0L, 0);
        using var capture = tree.Capture();
        var frame = new ArrayBufferWriter<byte>(TreeCapture.MaxSliceBytes);
        bool more;
        do
        {
            frame.ResetWrittenCount();
            more = capture.WriteSlice(frame);
            slices++;
            var nodes = NodesIn(frame.WrittenMemory);
            Assert.InRange(nodes, 0, TreeCapture.MaxSliceNodes);
            Assert.InRange(frame.WrittenCount, 1, TreeCapture.MaxSliceBytes + 1024);
            written += nodes;
            // The tree goes on: what was deleted before the walk came to it is put aside, what is new is left out.
            tree.Apply(new TreeCommand.Delete($"/p{slices % 1000}/n{slices / 1000}"), 1, new TreeStamp(2000 + slices, 1), changes);
            tree.Apply(new TreeCommand.Create($"/new{slices}", data), 1, new TreeStamp(2000 + slices, 1), changes);
        }
        while (more);

        Assert.Equal(1_001_001, written);
        Assert.NotEqual(digest, tree.Digest);
        Assert.InRange(slices, 1_001_001 / TreeCapture.MaxSliceNodes, 2 * 1_001_001 / TreeCapture.MaxSliceNodes);
    }

    [Fact]
    public void A_slice_of_big_znodes_ends_at_its_bytes_and_a_znode_goes_whole()
    {
        for (var i = 0; i < 20; i++)
            _scene.Apply(new TreeCommand.Create($"/n{i}", new byte[100_000]));
        _scene.Apply(new TreeCommand.Create("/big", new byte[1_000_000]));

        var frames = Scene.Frames(_scene.Tree.Capture());

        Assert.All(frames, frame => Assert.InRange(NodesIn(frame), 0, 3));
        Assert.All(frames, frame => Assert.InRange(frame.Length, 1, TreeCapture.MaxSliceBytes + 1_001_000));
        Assert.Equal(22, frames.Sum(frame => NodesIn(frame)));
        Assert.Equal(_scene.Tree.Digest, Scene.Restored(frames, _scene.Context).Digest);
    }

    [Fact]
    public void A_slice_does_not_walk_for_ever_over_slots_that_were_written_already()
    {
        for (var i = 0; i < 3 * TreeCapture.MaxSliceSlots; i++)
            _scene.Create($"/n{i}");
        var capture = _scene.Tree.Capture();
        for (var i = 0; i < 3 * TreeCapture.MaxSliceSlots; i++)
            _scene.Set($"/n{i}", "changed");

        var frames = Scene.Frames(capture);
        Assert.All(frames, frame => Assert.InRange(NodesIn(frame), 0, TreeCapture.MaxSliceNodes));
        Assert.Equal(3 * TreeCapture.MaxSliceSlots + 1, frames.Sum(frame => NodesIn(frame)));
    }

    [Fact]
    public void A_znode_that_is_deleted_and_created_again_is_written_as_it_was()
    {
        _scene.Create("/a", "old");
        var (capture, digest, context) = (_scene.Tree.Capture(), _scene.Tree.Digest, _scene.Context);
        _scene.Delete("/a");
        _scene.Create("/a", "new");
        _scene.Set("/a", "newer");

        var restored = Scene.Restored(Scene.Frames(capture), context);
        Assert.Equal(digest, restored.Digest);
        Assert.True(restored.TryGet("/a", out var data, out _));
        Assert.Equal("old"u8.ToArray(), data.ToArray());
        Assert.Equal("newer", _scene.Data("/a"));
    }

    [Fact]
    public void A_restored_tree_goes_on_exactly_as_the_original()
    {
        var commands = new RandomCommands(77);
        var changes = new List<TreeChange>();
        for (var zxid = 1; zxid <= 400; zxid++)
            _scene.Tree.Apply(commands.Next(), commands.Session(), new TreeStamp(zxid, zxid), changes);
        var restored = Scene.Restored(Scene.Frames(_scene.Tree.Capture()), new CommandContext(new LogIndex(400), new Term(1), 400, 400));

        for (var zxid = 401; zxid <= 900; zxid++)
        {
            var (command, session, stamp) = (commands.Next(), commands.Session(), new TreeStamp(zxid, zxid));
            var (here, there) = (new List<TreeChange>(), new List<TreeChange>());
            if (zxid % 50 == 0)
            {
                _scene.Tree.RemoveEphemerals(session, stamp, here);
                restored.RemoveEphemerals(session, stamp, there);
            }
            else
            {
                var (a, b) = (_scene.Tree.Apply(command, session, stamp, here), restored.Apply(command, session, stamp, there));
                Assert.Equal(a.Operations ?? [a.Single], b.Operations ?? [b.Single]);
            }
            Assert.Equal(here, there);
            Assert.Equal(_scene.Tree.Digest, restored.Digest);
        }
    }

    [Fact]
    public void A_restore_replaces_the_tree_at_its_end_and_not_before()
    {
        _scene.Create("/kept");
        var frames = Scene.Frames(_scene.Tree.Capture());
        var context = _scene.Context;
        var other = new Scene();
        other.Create("/other");
        var restorer = other.Tree.BeginRestore();
        foreach (var frame in frames)
            restorer.Frame(frame);
        Assert.True(other.Exists("/other"));

        // The snapshot as a whole ends later: with entries that were not the tree's.
        restorer.Complete(context with { Zxid = 55 });
        Assert.False(other.Exists("/other"));
        Assert.True(other.Exists("/kept"));
        Assert.Equal(_scene.Tree.View.Digest, other.Tree.View.Digest);
    }

    [Fact]
    public void A_capture_that_is_open_while_the_tree_is_replaced_still_writes_what_it_began()
    {
        _scene.Create("/a");
        var (capture, digest, context) = (_scene.Tree.Capture(), _scene.Tree.Digest, _scene.Context);
        var empty = new ZnodeTree();
        var restorer = _scene.Tree.BeginRestore();
        foreach (var frame in Scene.Frames(empty.Capture()))
            restorer.Frame(frame);
        restorer.Complete(context);
        Assert.Equal(empty.Digest, _scene.Tree.Digest);

        Assert.Equal(digest, Scene.Restored(Scene.Frames(capture), context).Digest);
        Scene.Frames(_scene.Tree.Capture());
    }

    [Fact]
    public void Two_captures_at_once_stop_the_node()
    {
        using var first = _scene.Tree.Capture();
        Assert.Throws<InvariantBrokenException>(() => _scene.Tree.Capture());
    }

    [Fact]
    public void A_snapshot_that_is_not_whole_or_not_what_it_says_is_not_installed()
    {
        _scene.Create("/p", "data of the parent");
        _scene.Create("/p/c", "data of the child");
        var frames = Scene.Frames(_scene.Tree.Capture());
        Assert.Equal(2, frames.Count);

        Refused([frames[0]], "lacks 1 nodes");
        Refused([frames[1]], "has no header");
        Refused([.. frames, frames[0]], "two headers");
        Refused([.. frames, frames[1]], "twice");

        var flipped = frames[1].ToArray();
        flipped[flipped.AsSpan().IndexOf("data of the child"u8)] ^= 0x20;
        Refused([frames[0], flipped], "gives the digest");

        void Refused(byte[][] given, string why)
        {
            var error = Assert.Throws<InvariantBrokenException>(() => Scene.Restored(given, _scene.Context));
            Assert.Contains(why, error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Damaged_frames_are_refused_and_never_installed()
    {
        _scene.Create("/p", "parent");
        _scene.Create("/p/c", "child", CreateMode.Ephemeral);
        var frames = Scene.Frames(_scene.Tree.Capture());
        for (var frame = 0; frame < frames.Count; frame++)
        {
            for (var at = 0; at < frames[frame].Length * 8; at++)
            {
                var damaged = frames.Select(f => f.ToArray()).ToArray();
                damaged[frame][at / 8] ^= (byte)(1 << (at % 8));
                AssertRefused(damaged, _scene.Context);
            }
            for (var length = 0; length < frames[frame].Length; length++)
            {
                var damaged = frames.Select(f => f.ToArray()).ToArray();
                damaged[frame] = damaged[frame][..length];
                AssertRefused(damaged, _scene.Context);
            }
        }
    }

    // The zxid in the header is no part of the digest: of damage there, only a zxid beyond the context's can be told.
    private static void AssertRefused(byte[][] frames, CommandContext context)
    {
        try
        {
            Scene.Restored(frames, context);
        }
        catch (Exception e) when (e is InvariantBrokenException or MessagePackSerializationException)
        {
            return;
        }
        Assert.True(ZxidIn(frames[0]) <= context.Zxid, "a damaged snapshot was installed");
        Assert.NotEqual(context.Zxid, ZxidIn(frames[0]));
    }

    private static long ZxidIn(byte[] header)
    {
        var reader = new MessagePackReader(header);
        reader.ReadInt32();
        reader.ReadArrayHeader();
        reader.ReadInt32();
        return reader.ReadInt64();
    }

    private static List<byte[]> Slices(ISnapshotCapture capture, Action beforeSlice, bool stopEarly)
    {
        if (!stopEarly)
            return Scene.Frames(capture, beforeSlice);
        capture.WriteSlice(new ArrayBufferWriter<byte>());
        beforeSlice();
        capture.Dispose();
        return [];
    }

    private static List<byte[]> Shuffled(List<byte[]> frames, Random random) => [.. frames.OrderBy(_ => random.Next())];

    private static int NodesIn(ReadOnlyMemory<byte> frame)
    {
        var reader = new MessagePackReader(frame);
        if (reader.ReadInt32() != TreeCapture.NodesFrame)
            return 0;
        var nodes = 0;
        for (; !reader.End; nodes++)
            reader.Skip();
        return nodes;
    }
}
