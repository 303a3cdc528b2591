using System.Text;
using RaftKit.Znodes.Tree;
using Xunit;

namespace RaftKit.Znodes.Tests.Tree;

public sealed class ViewTests
{
    private readonly Scene _scene = new();

    [Fact]
    public void A_view_reads_what_the_tree_holds_with_the_zxid_it_saw()
    {
        _scene.Create("/a", "1");
        _scene.Create("/a/b");
        _scene.Set("/a", "2");
        var view = _scene.Tree.View;

        var node = view.Get("/a")!;
        Assert.Equal(("/a", "2", 3L), (node.Path, Encoding.UTF8.GetString(node.Data.Span), node.Zxid));
        Assert.Equal(_scene.Stat("/a"), node.Stat);
        var children = view.GetChildren("/a")!;
        Assert.Equal(("/a", 3L), (children.Path, children.Zxid));
        Assert.Equal(["b"], children.Names);
        Assert.Equal((3, 3L), (view.Count, view.Zxid));
        Assert.Equal((_scene.Tree.Digest, 3L), view.Digest);
        Assert.Null(view.Get("/none"));
        Assert.Null(view.Get("malformed"));
        Assert.Null(view.GetChildren("/none"));
    }

    [Fact]
    public void An_entry_that_changes_nothing_moves_the_zxid_all_the_same()
    {
        _scene.Create("/a");
        Assert.Equal(ZnodeError.NodeExists, _scene.Create("/a").Error);
        Assert.Equal(2, _scene.Tree.View.Zxid);
        using (_scene.Tree.BeginEntry(7))
        {
        }
        Assert.Equal(7, _scene.Tree.View.Zxid);
    }

    [Fact]
    public async Task Readers_see_whole_entries_only_and_never_go_back_in_time()
    {
        const int Rounds = 40_000;
        var tree = _scene.Tree;
        _scene.Create("/left", "0");
        _scene.Create("/right", "0");
        _scene.Create("/list");
        var done = false;
        long reads = 0;

        long ReadList(long last)
        {
            var list = tree.View.GetChildren("/list")!;
            Assert.True(list.Zxid >= last);
            Assert.Equal(list.Stat.ChildCount, list.Names.Count);
            Assert.Equal(list.Names.Order(StringComparer.Ordinal), list.Names);
            Assert.True(list.Names.Count is 0 or 300, $"{list.Names.Count} children");
            return list.Zxid;
        }

        void ReadUntilDone()
        {
            long last = 0, count = 0;
            while (!Volatile.Read(ref done) || count < 100)
            {
                // Both nodes change in one multi: equal zxids of reading must mean equal contents.
                var left = tree.View.Get("/left")!;
                var right = tree.View.Get("/right")!;
                if (left.Zxid < last || right.Zxid < left.Zxid)
                    Assert.Fail($"zxid went back: {last}, {left.Zxid}, {right.Zxid}");
                last = right.Zxid;
                if (left.Zxid == right.Zxid)
                    Assert.True(left.Data.Span.SequenceEqual(right.Data.Span), $"half a multi was seen at zxid {left.Zxid}");
                // An entry sets twice; the state between was never anybody's to see.
                Assert.Equal(0, left.Stat.Version % 2);
                Assert.Equal(left.Stat.DataLength, left.Data.Length);
                Assert.True(left.Stat.ModifiedZxid <= left.Zxid);

                // Of the children one goes and one comes in each entry. Seldom looked at: the quick reads above are the ones that collide.
                if (count % 64 == 0)
                    last = ReadList(last);

                var (_, zxid) = tree.View.Digest;
                Assert.True(zxid >= last);
                last = zxid;
                count++;
            }
            Interlocked.Add(ref reads, count);
        }

        Task[] readers = [OnItsOwnThread(ReadUntilDone), OnItsOwnThread(ReadUntilDone)];
        _scene.Multi([.. Enumerable.Range(0, 300).Select(i => new TreeCommand.Create($"/list/{i:D10}", default))]);
        for (var round = 0; round < Rounds && !readers.Any(r => r.IsFaulted); round++)
        {
            var value = Scene.Bytes(new string('x', round % 50));
            _scene.Multi(
                new TreeCommand.Set("/left", Scene.Bytes("half")), new TreeCommand.Set("/left", value),
                new TreeCommand.Set("/right", default),
                new TreeCommand.Set("/right", value), new TreeCommand.Delete($"/list/{round:D10}"),
                new TreeCommand.Create($"/list/{round + 300:D10}", default));
            // A multi that fails half-way is nobody's to see either.
            _scene.Multi(new TreeCommand.Set("/left", Scene.Bytes("never")), new TreeCommand.Delete("/none"));
        }
        Volatile.Write(ref done, true);
        await Task.WhenAll(readers);
        Assert.True(reads >= 200);
    }

    [Fact]
    public async Task Readers_survive_a_tree_that_grows_shrinks_and_is_replaced_under_them()
    {
        var tree = _scene.Tree;
        _scene.Create("/stays", "here");
        var frames = Scene.Frames(tree.Capture());
        var done = false;

        void ReadUntilDone()
        {
            var random = new Random(1);
            for (var count = 0; !Volatile.Read(ref done) || count < 100; count++)
            {
                Assert.Equal(4, tree.View.Get("/stays")!.Data.Length);
                var path = $"/n{random.Next(6000)}";
                if (tree.View.Get(path) is { } found)
                    Assert.Equal(path.Length, found.Data.Length);
                Assert.InRange(tree.View.GetChildren("/")!.Names.Count, 1, 6001);
            }
        }

        Task[] readers = [OnItsOwnThread(ReadUntilDone), OnItsOwnThread(ReadUntilDone)];
        for (var round = 0; round < 8 && !readers.Any(r => r.IsFaulted); round++)
        {
            for (var i = 0; i < 6000; i++)
                _scene.Create($"/n{i}", $"/n{i}");
            if (round % 2 == 0)
            {
                for (var i = 0; i < 6000; i++)
                    _scene.Delete($"/n{i}");
                continue;
            }
            var restorer = tree.BeginRestore();
            foreach (var frame in frames)
                restorer.Frame(frame);
            restorer.Complete(_scene.Context);
        }
        Volatile.Write(ref done, true);
        await Task.WhenAll(readers);
        Assert.Equal(2, tree.View.Count);
    }

    [Fact]
    public async Task A_reader_that_keeps_losing_the_race_waits_for_the_entry_and_then_reads()
    {
        _scene.Create("/a", "before");
        Task<Znode?> reader;
        using (_scene.Tree.BeginEntry(2))
        {
            reader = Task.Factory.StartNew(() => _scene.Tree.View.Get("/a"), TaskCreationOptions.LongRunning);
            _scene.Tree.Apply(new TreeCommand.Set("/a", Scene.Bytes("after")), 1, new TreeStamp(2, 2), []);
            _scene.Tree.Apply(new TreeCommand.Create("/b", default), 1, new TreeStamp(2, 2), []);
        }
        var seen = (await reader)!;
        Assert.Equal("after", Encoding.UTF8.GetString(seen.Data.Span));
        Assert.Equal(2, seen.Zxid);
    }

    private static Task OnItsOwnThread(Action action) => Task.Factory.StartNew(action, TaskCreationOptions.LongRunning);
}
