using RaftKit.Znodes.Tree;
using RaftKit.Znodes.Watches;
using Xunit;

namespace RaftKit.Znodes.Tests.Watches;

public sealed class WatchTableTests
{
    private readonly WatchTable _table = new();
    private readonly Ear _ear = new();
    private long _zxid;

    [Fact]
    public void A_data_watch_fires_once_on_creation_deletion_or_change()
    {
        foreach (var kind in Enum.GetValues<TreeChangeKind>())
        {
            _table.Add(_ear, "/a", WatchMode.Data);
            Change(kind, "/a");
            Change(TreeChangeKind.DataChanged, "/a");
            Assert.Equal([((WatchEventType)kind, "/a")], _ear.Take());
        }
        Assert.Equal((0, 0), (_table.PathCount, _table.WatcherCount));
        Assert.Empty(_table.RemoveAllOf(_ear));
    }

    [Fact]
    public void A_child_watch_fires_once_on_a_childs_creation_or_deletion_but_not_on_its_data()
    {
        _table.Add(_ear, "/a", WatchMode.Children);
        Change(TreeChangeKind.DataChanged, "/a");
        Change(TreeChangeKind.DataChanged, "/a/b");
        Change(TreeChangeKind.Created, "/a/b/c");
        Assert.Empty(_ear.Take());
        Change(TreeChangeKind.Created, "/a/b");
        Change(TreeChangeKind.Deleted, "/a/b");
        Assert.Equal([(WatchEventType.ChildrenChanged, "/a")], _ear.Take());
    }

    [Fact]
    public void A_deletion_fires_the_znodes_data_and_child_watches_and_the_parents_child_watch()
    {
        var data = new Ear();
        var children = new Ear();
        var parent = new Ear();
        _table.Add(data, "/a/b", WatchMode.Data);
        _table.Add(children, "/a/b", WatchMode.Children);
        _table.Add(parent, "/a", WatchMode.Children);

        Change(TreeChangeKind.Deleted, "/a/b");

        Assert.Equal([(WatchEventType.Deleted, "/a/b")], data.Take());
        Assert.Equal([(WatchEventType.Deleted, "/a/b")], children.Take());
        Assert.Equal([(WatchEventType.ChildrenChanged, "/a")], parent.Take());
        Assert.Equal(0, _table.PathCount);
    }

    [Fact]
    public void A_watcher_that_watches_in_several_modes_hears_of_a_change_once()
    {
        foreach (var mode in Enum.GetValues<WatchMode>())
            _table.Add(_ear, "/a", mode);
        _table.Add(_ear, "/", WatchMode.PersistentRecursive);

        Change(TreeChangeKind.Deleted, "/a");
        Change(TreeChangeKind.Created, "/a");

        Assert.Equal([(WatchEventType.Deleted, "/a"), (WatchEventType.Created, "/a")], _ear.Take());
    }

    [Fact]
    public void A_persistent_watch_hears_everything_of_its_path_and_goes_on()
    {
        _table.Add(_ear, "/a", WatchMode.Persistent);
        Change(TreeChangeKind.Created, "/a");
        Change(TreeChangeKind.DataChanged, "/a");
        Change(TreeChangeKind.Created, "/a/b");
        Change(TreeChangeKind.DataChanged, "/a/b");
        Change(TreeChangeKind.Deleted, "/a/b");
        Change(TreeChangeKind.Deleted, "/a");
        Change(TreeChangeKind.Created, "/a");
        Assert.Equal(
            [
                (WatchEventType.Created, "/a"), (WatchEventType.DataChanged, "/a"), (WatchEventType.ChildrenChanged, "/a"),
                (WatchEventType.ChildrenChanged, "/a"), (WatchEventType.Deleted, "/a"), (WatchEventType.Created, "/a"),
            ],
            _ear.Take());
    }

    [Fact]
    public void A_recursive_watch_hears_all_below_it_and_no_children_events()
    {
        _table.Add(_ear, "/a", WatchMode.PersistentRecursive);
        Change(TreeChangeKind.Created, "/a");
        Change(TreeChangeKind.Created, "/a/b/c");
        Change(TreeChangeKind.DataChanged, "/a/b/c");
        Change(TreeChangeKind.Created, "/ab");
        Change(TreeChangeKind.Deleted, "/a/b");
        Assert.Equal(
            [
                (WatchEventType.Created, "/a"), (WatchEventType.Created, "/a/b/c"), (WatchEventType.DataChanged, "/a/b/c"),
                (WatchEventType.Deleted, "/a/b"),
            ],
            _ear.Take());
    }

    [Fact]
    public void The_root_can_be_watched()
    {
        _table.Add(_ear, "/", WatchMode.Children);
        Change(TreeChangeKind.Created, "/a");
        Assert.Equal([(WatchEventType.ChildrenChanged, "/")], _ear.Take());
        _table.Add(_ear, "/", WatchMode.PersistentRecursive);
        Change(TreeChangeKind.DataChanged, "/");
        Change(TreeChangeKind.Created, "/x/y");
        Assert.Equal([(WatchEventType.DataChanged, "/"), (WatchEventType.Created, "/x/y")], _ear.Take());
    }

    [Fact]
    public void A_removed_watch_hears_nothing_and_leaves_nothing_behind()
    {
        _table.Add(_ear, "/a", WatchMode.Persistent);
        _table.Add(_ear, "/a", WatchMode.Data);
        _table.Add(_ear, "/b", WatchMode.PersistentRecursive);
        Assert.True(_table.Remove(_ear, "/a", WatchMode.Persistent));
        Assert.False(_table.Remove(_ear, "/a", WatchMode.Persistent));
        Assert.True(_table.Watches(_ear, "/a", WatchMode.Data));
        _table.Remove(_ear);

        Change(TreeChangeKind.Created, "/a");
        Change(TreeChangeKind.Created, "/b/c");

        Assert.Empty(_ear.Take());
        Assert.Equal(0, _table.PathCount);
    }

    [Fact]
    public void Every_one_of_many_watchers_of_a_path_hears()
    {
        var ears = Enumerable.Range(0, 50).Select(_ => new Ear()).ToArray();
        for (var i = 0; i < ears.Length; i++)
        {
            _table.Add(ears[i], "/a", WatchMode.Data);
            if (i % 2 == 0)
                _table.Add(ears[i], "/a", WatchMode.Persistent);
        }
        _table.Remove(ears[0]);
        Change(TreeChangeKind.DataChanged, "/a");
        Change(TreeChangeKind.DataChanged, "/a");

        Assert.Empty(ears[0].Take());
        for (var i = 1; i < ears.Length; i++)
            Assert.Equal(i % 2 == 0 ? 2 : 1, ears[i].Take().Count);
        Assert.Equal(24 + 49, _table.EventCount);
    }

    [Fact]
    public void It_agrees_with_a_naive_model_on_random_walks()
    {
        string[] paths = ["/", "/a", "/a/b", "/a/b/c", "/ab", "/d"];
        for (var seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            var table = new WatchTable();
            var ears = Enumerable.Range(0, 4).Select(_ => new Ear()).ToArray();
            var model = new HashSet<(Ear Ear, string Path, WatchMode Mode)>();
            for (var step = 0; step < 200; step++)
            {
                var (ear, path) = (ears[random.Next(ears.Length)], paths[random.Next(paths.Length)]);
                var mode = (WatchMode)random.Next(4);
                switch (random.Next(6))
                {
                    case 0 or 1:
                        table.Add(ear, path, mode);
                        model.Add((ear, path, mode));
                        break;
                    case 2 when random.Next(4) == 0:
                        table.Remove(ear);
                        model.RemoveWhere(w => w.Ear == ear);
                        break;
                    case 3:
                        Assert.Equal(model.Remove((ear, path, mode)), table.Remove(ear, path, mode));
                        break;
                    default:
                        var change = new TreeChange((TreeChangeKind)random.Next(1, 4), path, step + 1);
                        var expected = Model(model, change);
                        table.Tell(change);
                        foreach (var each in ears)
                            Assert.True(
                                expected.Where(e => e.Ear == each).Select(e => (e.Type, e.Path)).SequenceEqual(each.Take()),
                                $"seed {seed}, step {step}: {change}");
                        break;
                }
            }
            foreach (var ear in ears)
                Assert.True(table.RemoveAllOf(ear).Count <= 1);
            Assert.Equal((0, 0), (table.PathCount, table.WatcherCount));
        }
    }

    private static List<(Ear Ear, WatchEventType Type, string Path)> Model(
        HashSet<(Ear Ear, string Path, WatchMode Mode)> model, TreeChange change)
    {
        var heard = new List<(Ear, WatchEventType, string)>();
        var own = model.Where(w =>
            (w.Path == change.Path && (w.Mode is WatchMode.Data or WatchMode.Persistent
                || (w.Mode == WatchMode.Children && change.Kind == TreeChangeKind.Deleted)))
            || (w.Mode == WatchMode.PersistentRecursive && ZnodePath.IsAtOrBelow(change.Path, w.Path))).ToList();
        foreach (var ear in own.Select(w => w.Ear).Distinct())
            heard.Add((ear, (WatchEventType)change.Kind, change.Path));
        model.RemoveWhere(w => own.Contains(w) && w.Mode is WatchMode.Data or WatchMode.Children && own.Contains(w));
        if (!change.ChangesParentsChildren || change.ParentPath is not { } parent)
            return heard;
        var above = model.Where(w => w.Path == parent && w.Mode is WatchMode.Children or WatchMode.Persistent && w.Path == parent).ToList();
        foreach (var ear in above.Select(w => w.Ear).Distinct())
            heard.Add((ear, WatchEventType.ChildrenChanged, parent));
        model.RemoveWhere(w => above.Contains(w) && w.Mode == WatchMode.Children);
        return heard;
    }

    private void Change(TreeChangeKind kind, string path) => _table.Tell(new TreeChange(kind, path, ++_zxid));

    private sealed class Ear : IWatcher
    {
        private readonly List<(WatchEventType, string)> _heard = [];

        public object Owner => this;

        public void Notify(in WatchEvent watchEvent) => _heard.Add((watchEvent.Type, watchEvent.Path));

        public List<(WatchEventType Type, string Path)> Take()
        {
            var heard = _heard.ToList();
            _heard.Clear();
            return heard;
        }
    }
}
