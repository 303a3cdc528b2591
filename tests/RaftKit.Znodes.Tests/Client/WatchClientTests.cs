using RaftKit.Znodes.Tests.Sessions;
using Xunit;

namespace RaftKit.Znodes.Tests.Client;

public sealed class WatchClientTests
{
    private readonly FakeQuorum _quorum = new(3);
    private readonly List<WatchEvent> _heard = [];

    [Fact]
    public void A_one_shot_watch_fires_once_on_the_first_change_after_the_read()
    {
        var session = _quorum.Open(2);
        var other = _quorum.Open(3);
        Assert.Null(_quorum.Await(session.GetAsync("/a", _heard.Add)));

        var created = _quorum.Await(other.CreateAsync("/a"));
        _quorum.Await(other.SetAsync("/a", "x"u8.ToArray()));

        Assert.Equal([new WatchEvent(WatchEventType.Created, "/a", created.Zxid)], _heard);
    }

    [Fact]
    public void A_write_is_answered_after_the_events_that_it_caused_were_queued()
    {
        var session = _quorum.Open(2);
        _quorum.Await(session.GetChildrenAsync("/", _heard.Add));
        var heardBeforeTheNextRead = -1;

        _ = Continue();
        _quorum.Run();

        Assert.Equal(1, heardBeforeTheNextRead);

        async Task Continue()
        {
            await session.CreateAsync("/a");
            await session.GetAsync("/a");
            heardBeforeTheNextRead = _heard.Count;
        }
    }

    [Fact]
    public void Watches_hear_changes_in_zxid_order_whatever_their_kind()
    {
        var session = _quorum.Open(2);
        _quorum.Await(session.WatchAsync("/", WatchMode.PersistentRecursive, _heard.Add));
        _quorum.Await(session.WatchAsync("/a", WatchMode.Persistent, _heard.Add));

        _quorum.Await(session.CreateAsync("/a"));
        _quorum.Await(session.CreateAsync("/a/b"));
        _quorum.Await(session.SetAsync("/a/b", "x"u8.ToArray()));
        _quorum.Await(session.DeleteAsync("/a/b"));

        Assert.Equal(_heard.OrderBy(e => e.Zxid), _heard);
        Assert.Equal(
            [
                (WatchEventType.Created, "/a"), (WatchEventType.Created, "/a/b"), (WatchEventType.ChildrenChanged, "/a"),
                (WatchEventType.DataChanged, "/a/b"), (WatchEventType.Deleted, "/a/b"), (WatchEventType.ChildrenChanged, "/a"),
            ],
            _heard.Select(e => (e.Type, e.Path)));
    }

    [Fact]
    public void A_disposed_watch_hears_nothing_more()
    {
        var session = _quorum.Open(2);
        var watch = _quorum.Await(session.WatchAsync("/", WatchMode.Persistent, _heard.Add));
        _quorum.Await(session.CreateAsync("/a"));

        _quorum.Await(watch.DisposeAsync().AsTask());
        _quorum.Await(session.CreateAsync("/b"));

        Assert.Single(_heard);
    }

    [Fact]
    public void A_callback_may_wait_for_calls_of_its_own_session()
    {
        var session = _quorum.Open(2);
        Znode? seen = null;
        _quorum.Await(session.GetAsync("/a", e => _ = Read(e)));
        _quorum.Await(session.CreateAsync("/a", "x"u8.ToArray()));

        Assert.NotNull(seen);

        async Task Read(WatchEvent e) => seen = await session.GetAsync(e.Path);
    }

    [Fact]
    public void A_callback_that_throws_harms_nobody()
    {
        var session = _quorum.Open(2);
        _quorum.Await(session.WatchAsync("/", WatchMode.Persistent, _ => throw new InvalidOperationException("bug")));
        _quorum.Await(session.WatchAsync("/", WatchMode.Persistent, _heard.Add));

        _quorum.Await(session.CreateAsync("/a"));
        _quorum.Await(session.CreateAsync("/b"));

        Assert.Equal(2, _heard.Count);
        Assert.Equal(SessionState.Connected, session.State);
    }

    [Fact]
    public void Callbacks_that_fall_too_far_behind_end_the_session_rather_than_miss_an_event()
    {
        var quorum = new FakeQuorum(1, new ZnodeOptions { MaxQueuedEvents = 5 });
        var session = quorum.Open(1);
        quorum.Await(session.WatchAsync("/", WatchMode.PersistentRecursive, _heard.Add));
        var operations = Enumerable.Range(0, 10).Select(i => (ZnodeOperation)new ZnodeOperation.Create($"/n{i}", default)).ToArray();

        _ = session.MultiAsync(operations);
        quorum.Run();

        Assert.Equal(5, _heard.Count);
        Assert.Equal(SessionState.Expired, session.State);
        Assert.True(session.Expired.IsCancellationRequested);
        Assert.Equal(0, quorum[1].Service.Machine.Sessions.Count);
    }

    [Fact]
    public void A_stream_resumes_after_a_zxid_without_a_gap()
    {
        var session = _quorum.Open(2);
        var a = _quorum.Await(session.CreateAsync("/a"));
        _quorum.Await(session.CreateAsync("/a/b"));
        var reader = new StreamReader(_quorum, session.EventsAsync("/a", recursive: true, afterZxid: a.Zxid));

        Assert.Equal((WatchEventType.Created, "/a/b"), reader.Next());
        Assert.False(reader.HasNext());
        _quorum.Await(session.SetAsync("/a", "x"u8.ToArray()));
        _quorum.Await(session.CreateAsync("/other"));
        _quorum.Await(session.DeleteAsync("/a/b"));
        Assert.Equal((WatchEventType.DataChanged, "/a"), reader.Next());
        Assert.Equal((WatchEventType.Deleted, "/a/b"), reader.Next());
        Assert.False(reader.HasNext());
    }

    [Fact]
    public void A_stream_of_one_path_tells_of_its_children_but_not_of_theirs()
    {
        var session = _quorum.Open(2);
        var a = _quorum.Await(session.CreateAsync("/a"));
        _quorum.Await(session.CreateAsync("/a/b"));
        var reader = new StreamReader(_quorum, session.EventsAsync("/a", recursive: false, afterZxid: a.Zxid));
        Assert.Equal((WatchEventType.ChildrenChanged, "/a"), reader.Next());
        _quorum.Await(session.CreateAsync("/a/b/c"));
        _quorum.Await(session.CreateAsync("/a/d"));

        Assert.Equal((WatchEventType.ChildrenChanged, "/a"), reader.Next());
        Assert.False(reader.HasNext());
    }

    [Fact]
    public void A_slow_reader_of_a_stream_is_served_from_the_journal_in_whole_entries()
    {
        var quorum = new FakeQuorum(1, new ZnodeOptions { StreamBuffer = 3 });
        var session = quorum.Open(1);
        var reader = new StreamReader(quorum, session.EventsAsync("/"));
        Assert.False(reader.HasNext());
        for (var i = 0; i < 20; i++)
            quorum.Await(session.MultiAsync([new ZnodeOperation.Create($"/x{i}", default), new ZnodeOperation.Create($"/y{i}", default)]));

        for (var i = 0; i < 20; i++)
        {
            Assert.Equal((WatchEventType.Created, $"/x{i}"), reader.Next());
            Assert.Equal((WatchEventType.Created, $"/y{i}"), reader.Next());
        }
        Assert.False(reader.HasNext());
        quorum.Await(session.CreateAsync("/z"));
        Assert.Equal((WatchEventType.Created, "/z"), reader.Next());
    }

    [Fact]
    public void A_reader_that_falls_behind_the_journal_gets_the_state_instead()
    {
        var quorum = new FakeQuorum(1, new ZnodeOptions { StreamBuffer = 3, JournalChanges = 5 });
        var session = quorum.Open(1);
        quorum.Await(session.CreateAsync("/a"));
        var reader = new StreamReader(quorum, session.EventsAsync("/a"));
        Assert.False(reader.HasNext());
        for (var i = 0; i < 20; i++)
            quorum.Await(session.CreateAsync($"/a/n{i}"));
        // One was handed out when it came, three were buffered.
        for (var i = 0; i < 4; i++)
            Assert.Equal((WatchEventType.Created, $"/a/n{i}"), reader.Next());

        var compacted = Assert.Throws<WatchCompactedException>(() => reader.Next());

        Assert.Equal(21, compacted.State.Count);
        Assert.All(compacted.State, z => Assert.StartsWith("/a", z.Path));
        var last = quorum.Await(session.CreateAsync("/a/last"));
        var again = new StreamReader(quorum, session.EventsAsync("/a", afterZxid: compacted.Zxid));
        Assert.Equal((WatchEventType.Created, last.Path), again.Next());
    }

    [Fact]
    public void A_large_state_is_copied_in_slices_and_is_consistent_though_it_changes_meanwhile()
    {
        var quorum = new FakeQuorum(1, new ZnodeOptions { SessionTimeout = TimeSpan.FromSeconds(4), JournalChanges = 10 });
        var session = quorum.Open(1);
        var other = quorum.Open(1);
        quorum.Await(session.CreateAsync("/big"));
        for (var i = 0; i < 50; i++)
        {
            quorum.Await(session.CreateAsync($"/big/d{i}"));
            for (var j = 0; j < 50; j++)
                _ = session.CreateAsync($"/big/d{i}/n{j}", new byte[] { 1 });
            quorum.Run();
        }
        var member = quorum[1];
        var reader = new StreamReader(quorum, session.EventsAsync("/big", afterZxid: 1));
        var turns = 0;

        // A turn at a time, and something changes between each two.
        while (!reader.IsDone)
        {
            _ = other.SetAsync($"/big/d{turns % 50}/n0", new byte[] { 2 });
            _ = other.CreateAsync($"/big/d{turns % 50}/new{turns}");
            _ = other.DeleteAsync($"/big/d{49 - (turns % 50)}/n{1 + (turns / 50)}");
            Assert.True(++turns < 1000, "It never ends.");
            member.Turn();
        }
        Assert.InRange(turns, 3, 100);
        var compacted = Assert.Throws<WatchCompactedException>(() => reader.Next());

        // The same as a replay of the log up to that very moment.
        var replayed = quorum.ReplayUpTo(compacted.Zxid);
        var expected = new List<string>();
        Collect("/big");
        Assert.Equal(expected.Order(StringComparer.Ordinal), compacted.State.Select(z => z.Path));
        foreach (var znode in compacted.State)
        {
            Assert.True(replayed.TryGet(znode.Path, out var data, out var stat));
            Assert.Equal((stat, compacted.Zxid), (znode.Stat, znode.Zxid));
            Assert.True(data.Span.SequenceEqual(znode.Data.Span));
        }

        void Collect(string path)
        {
            expected.Add(path);
            foreach (var name in replayed.Children(path, out _)!)
                Collect($"{path}/{name}");
        }
    }

    [Fact]
    public void A_stream_ends_with_its_session()
    {
        var session = _quorum.Open(2);
        var reader = new StreamReader(_quorum, session.EventsAsync("/"));
        Assert.False(reader.HasNext());

        _quorum.Await(session.CloseAsync());

        Assert.Throws<SessionExpiredException>(() => reader.Next());
    }

    [Fact]
    public void A_snapshot_that_jumps_over_changes_fires_what_they_would_have_fired()
    {
        var session = _quorum.Open(2);
        var other = _quorum.Open(3);
        foreach (var path in (string[])["/kept", "/set", "/gone", "/parent", "/parent/old", "/again"])
            _quorum.Await(other.CreateAsync(path));
        foreach (var path in (string[])["/kept", "/set", "/gone", "/new", "/again"])
            _quorum.Await(session.GetAsync(path, _heard.Add));
        _quorum.Await(session.GetChildrenAsync("/parent", _heard.Add));
        var recursive = new List<WatchEvent>();
        _quorum.Await(session.WatchAsync("/", WatchMode.PersistentRecursive, recursive.Add));
        _quorum[2].IsBehind = true;
        _quorum.Await(other.SetAsync("/set", "x"u8.ToArray()));
        _quorum.Await(other.DeleteAsync("/gone"));
        _quorum.Await(other.CreateAsync("/new"));
        _quorum.Await(other.DeleteAsync("/parent/old"));
        _quorum.Await(other.DeleteAsync("/again"));
        _quorum.Await(other.CreateAsync("/again"));

        _quorum[2].InstallSnapshotOf(_quorum[3]);
        _quorum.Run();

        Assert.Equal(
            new[]
            {
                (WatchEventType.DataChanged, "/set"), (WatchEventType.Created, "/new"), (WatchEventType.Deleted, "/gone"),
                (WatchEventType.ChildrenChanged, "/parent"), (WatchEventType.Deleted, "/again"),
            }.Order(),
            _heard.Select(e => (e.Type, e.Path)).Order());
        Assert.Equal(_heard.OrderBy(e => e.Zxid), _heard);
        Assert.Equal(
            new[]
            {
                (WatchEventType.DataChanged, "/set"), (WatchEventType.Created, "/new"), (WatchEventType.Deleted, "/gone"),
                (WatchEventType.Deleted, "/parent/old"), (WatchEventType.Deleted, "/again"), (WatchEventType.Created, "/again"),
            }.Order(),
            recursive.Select(e => (e.Type, e.Path)).Order());

        // What fired once is used up; what did not is still there.
        _quorum[2].IsBehind = false;
        _heard.Clear();
        _quorum.Await(other.SetAsync("/set", "y"u8.ToArray()));
        _quorum.Await(other.SetAsync("/kept", "y"u8.ToArray()));
        Assert.Equal([(WatchEventType.DataChanged, "/kept")], _heard.Select(e => (e.Type, e.Path)));
    }

    [Fact]
    public void A_stream_says_compacted_when_a_snapshot_jumped_over_changes()
    {
        var session = _quorum.Open(2);
        var other = _quorum.Open(3);
        var reader = new StreamReader(_quorum, session.EventsAsync("/"));
        Assert.False(reader.HasNext());
        _quorum.Await(other.CreateAsync("/a"));
        _quorum[2].IsBehind = true;
        _quorum.Await(other.CreateAsync("/b"));

        _quorum[2].InstallSnapshotOf(_quorum[3]);
        _quorum[2].IsBehind = false;
        _quorum.Run();

        Assert.Equal((WatchEventType.Created, "/a"), reader.Next());
        var compacted = Assert.Throws<WatchCompactedException>(() => reader.Next());
        Assert.Equal(["/", "/a", "/b"], compacted.State.Select(z => z.Path));
        Assert.Equal(_quorum.Log.Count, compacted.Zxid);
    }

    [Fact]
    public void A_write_that_a_snapshot_jumped_over_is_answered_and_a_session_that_it_ended_knows()
    {
        var session = _quorum.Open(2);
        _quorum[2].IsBehind = true;
        var create = session.CreateAsync("/a");
        _quorum.Run();
        _quorum[2].InstallSnapshotOf(_quorum[3]);
        Assert.Equal("/a", _quorum.Await(create).Path);

        _quorum[1].Propose("znodes", RaftKit.Znodes.Sessions.SessionCommand.Close(session.Id), null);
        _quorum.Run();
        _quorum[2].InstallSnapshotOf(_quorum[3]);
        _quorum.Run();

        Assert.Equal(SessionState.Expired, session.State);
        Assert.True(session.Expired.IsCancellationRequested);
    }

    private sealed class StreamReader(FakeQuorum quorum, IAsyncEnumerable<WatchEvent> events)
    {
        private readonly IAsyncEnumerator<WatchEvent> _events = events.GetAsyncEnumerator();
        private Task<bool>? _next;

        /// <summary>Whether what comes next is there; runs nothing.</summary>
        public bool IsDone => (_next ??= _events.MoveNextAsync().AsTask()).IsCompleted;

        public bool HasNext()
        {
            _next ??= _events.MoveNextAsync().AsTask();
            quorum.Run();
            return _next.IsCompleted;
        }

        public (WatchEventType Type, string Path) Next()
        {
            Assert.True(HasNext(), "The stream has no event.");
            var next = _next!;
            _next = null;
            Assert.True(next.GetAwaiter().GetResult());
            return (_events.Current.Type, _events.Current.Path);
        }
    }
}
