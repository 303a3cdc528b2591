using System.Text;
using RaftKit.Node.Proposals;
using RaftKit.Znodes.Tests.Sessions;
using Xunit;

namespace RaftKit.Znodes.Tests.Client;

public sealed class SessionClientTests
{
    private readonly FakeQuorum _quorum = new(3);

    [Fact]
    public void A_session_writes_and_reads_on_any_member()
    {
        var writer = _quorum.Open(2);
        var reader = _quorum.Open(3);

        var created = _quorum.Await(writer.CreateAsync("/a", "one"u8.ToArray()));
        var stat = _quorum.Await(writer.SetAsync("/a", "two"u8.ToArray(), 0));
        var read = _quorum.Await(reader.GetAsync("/a"));

        Assert.Equal("/a", created.Path);
        Assert.Equal("one", Encoding.UTF8.GetString(created.Data.Span));
        Assert.Equal(1, stat.Version);
        Assert.Equal("two", Encoding.UTF8.GetString(read!.Data.Span));
        Assert.True(read.Stat.ModifiedZxid > created.Zxid);
        Assert.Null(_quorum.Await(reader.GetAsync("/b")));
    }

    [Fact]
    public void Calls_made_before_the_session_is_open_wait_for_it_in_their_order()
    {
        _quorum.LoseLeader();
        var session = _quorum[2].Service.Sessions.Open();
        var create = session.CreateAsync("/a");
        var read = session.GetAsync("/a");
        var set = session.SetAsync("/a", "x"u8.ToArray());
        _quorum.Run();
        Assert.False(create.IsCompleted || read.IsCompleted || set.IsCompleted);
        Assert.Equal(SessionState.Connecting, session.State);

        _quorum.Elect(1);

        Assert.Equal("/a", _quorum.Await(create).Path);
        Assert.Equal(0, _quorum.Await(read)!.Stat.Version);
        Assert.Equal(1, _quorum.Await(set).Version);
        Assert.NotEqual(0, session.Id);
        Assert.Equal(SessionState.Connected, session.State);
    }

    [Fact]
    public void A_read_waits_for_the_sessions_own_earlier_writes_but_not_for_later_ones()
    {
        var session = _quorum.Open(2);
        var other = _quorum.Open(2);
        _quorum.LoseLeader();
        var create = session.CreateAsync("/a");
        var before = session.ExistsAsync("/a");
        var delete = session.DeleteAsync("/a");
        var after = session.ExistsAsync("/a");

        Assert.Null(_quorum.Await(other.ExistsAsync("/a")));
        Assert.False(before.IsCompleted);

        _quorum.Elect(3);

        _quorum.Await(create);
        Assert.NotNull(_quorum.Await(before));
        _quorum.Await(delete);
        Assert.Null(_quorum.Await(after));
    }

    [Fact]
    public void A_refusal_of_the_tree_says_what_to_do()
    {
        var session = _quorum.Open(1);

        var noParent = Assert.Throws<ZnodeException>(() => _quorum.Await(session.CreateAsync("/a/b")));
        _quorum.Await(session.CreateAsync("/a"));
        var exists = Assert.Throws<ZnodeException>(() => _quorum.Await(session.CreateAsync("/a")));
        var version = Assert.Throws<ZnodeException>(() => _quorum.Await(session.SetAsync("/a", default, 7)));
        var missing = Assert.Throws<ZnodeException>(() => _quorum.Await(session.DeleteAsync("/b")));

        Assert.Equal((ZnodeError.NoNode, "/a/b"), (noParent.Error, noParent.Path));
        Assert.Contains("parent", noParent.Message);
        Assert.Equal(ZnodeError.NodeExists, exists.Error);
        Assert.Equal(ZnodeError.BadVersion, version.Error);
        Assert.Contains("7", version.Message);
        Assert.Equal(ZnodeError.NoNode, missing.Error);
    }

    [Fact]
    public void What_must_not_reach_the_log_is_refused_before_it()
    {
        var session = _quorum.Open(1);
        var entries = _quorum.Log.Count;

        Assert.IsType<ArgumentException>(RefusedAtOnce(() => session.CreateAsync("a")));
        Assert.IsType<ArgumentException>(RefusedAtOnce(() => session.GetAsync("/a/")));
        Assert.IsType<ArgumentException>(RefusedAtOnce(() => session.MultiAsync([new ZnodeOperation.Delete("/../x")])));
        var big = Assert.IsType<ZnodeException>(RefusedAtOnce(() => session.CreateAsync("/big", new byte[2_000_000])));
        _quorum.Run();

        Assert.Equal(ZnodeError.BadArguments, big.Error);
        Assert.Contains("2000", big.Message);
        Assert.Equal(entries, _quorum.Log.Count);
    }

    [Fact]
    public void A_multi_is_applied_whole_or_answers_why_not()
    {
        var session = _quorum.Open(3);

        var done = _quorum.Await(session.MultiAsync(
            [new ZnodeOperation.Create("/m", "1"u8.ToArray()),
                new ZnodeOperation.Create("/m/s-", default, CreateMode.EphemeralSequential)]));
        var failed = _quorum.Await(session.MultiAsync([new ZnodeOperation.Create("/n", default), new ZnodeOperation.Check("/m", 5)]));

        Assert.True(done.Succeeded);
        Assert.Equal("/m/s-0000000000", done.Results[1].Path);
        Assert.Equal(session.Id, done.Results[1].Stat.EphemeralOwner);
        Assert.False(failed.Succeeded);
        Assert.Equal(ZnodeError.BadVersion, failed.Results[1].Error);
        Assert.Null(_quorum.Await(session.ExistsAsync("/n")));
    }

    [Fact]
    public void Cancelling_stops_the_wait_and_not_the_write()
    {
        var session = _quorum.Open(2);
        _quorum.LoseLeader();
        using var cancellation = new CancellationTokenSource();
        var create = session.CreateAsync("/a", cancellationToken: cancellation.Token);
        _quorum.Run();

        cancellation.Cancel();
        Assert.True(create.IsCanceled);
        _quorum.Elect(1);
        _quorum.Run();

        Assert.NotNull(_quorum.Await(session.ExistsAsync("/a")));
    }

    [Fact]
    public void Sync_waits_until_this_member_has_everything_that_was_acknowledged_before()
    {
        var here = _quorum.Open(2);
        var there = _quorum.Open(3);
        _quorum[3].IsBehind = true;
        _quorum.Await(here.CreateAsync("/a"));
        var sync = there.SyncAsync();
        var read = there.ExistsAsync("/a");
        _quorum.Run();
        Assert.False(sync.IsCompleted);

        _quorum[3].IsBehind = false;

        Assert.True(_quorum.Await(sync) >= 3);
        Assert.NotNull(_quorum.Await(read));
    }

    [Fact]
    public void Local_reads_views_and_watches_go_on_without_a_leader()
    {
        var session = _quorum.Open(2);
        _quorum.Await(session.CreateAsync("/a", "x"u8.ToArray()));
        _quorum.LoseLeader();

        Assert.NotNull(_quorum.Await(session.GetAsync("/a")));
        Assert.Equal(["a"], _quorum[2].Service.View.GetChildren("/")!.Names);
        Assert.Equal(_quorum.Log.Count, _quorum[2].Service.View.Zxid);
    }

    [Fact]
    public void Closing_removes_all_ephemerals_at_once_and_ends_the_session_for_good()
    {
        var session = _quorum.Open(2);
        var other = _quorum.Open(3);
        for (var i = 0; i < 100; i++)
            _quorum.Await(session.CreateAsync($"/e{i}", default, CreateMode.Ephemeral));
        var entries = _quorum.Log.Count;

        _quorum.Await(session.CloseAsync());

        Assert.Equal(entries + 1, _quorum.Log.Count);
        Assert.Empty(_quorum.Await(other.GetChildrenAsync("/"))!.Names);
        Assert.Equal(SessionState.Expired, session.State);
        Assert.True(session.Expired.IsCancellationRequested);
        Assert.Throws<SessionExpiredException>(() => _quorum.Await(session.CreateAsync("/a")));
        Assert.Throws<SessionExpiredException>(() => _quorum.Await(session.GetAsync("/")));
        _quorum.Await(session.CloseAsync());
        _quorum.Await(session.DisposeAsync().AsTask());
        Assert.Equal(entries + 1, _quorum.Log.Count);
    }

    [Fact]
    public void A_session_closed_before_it_is_open_leaves_nothing_behind()
    {
        _quorum.LoseLeader();
        var session = _quorum[2].Service.Sessions.Open();
        var create = session.CreateAsync("/a", default, CreateMode.Ephemeral);
        _quorum.Await(session.DisposeAsync().AsTask());
        Assert.Throws<SessionExpiredException>(() => _quorum.Await(create));

        _quorum.Elect(1);
        _quorum.Advance(TimeSpan.FromMilliseconds(100));

        Assert.Equal(0, _quorum[1].Service.Machine.Sessions.Count);
        Assert.Equal(1, _quorum[1].Service.Counters.Closed);
    }

    [Fact]
    public void When_the_node_stops_nothing_waits_for_ever()
    {
        var session = _quorum.Open(2);
        _quorum.LoseLeader();
        var write = session.CreateAsync("/a");
        var read = session.GetAsync("/a");
        var opening = _quorum[2].Service.Sessions.Open();
        var opened = opening.OpenedAsync();
        _quorum.Run();
        var unsent = session.CreateAsync("/b");

        _quorum[2].Kill();

        Assert.Throws<SessionExpiredException>(() => opened.GetAwaiter().GetResult());
        Assert.True(session.Expired.IsCancellationRequested);
        Assert.Throws<OutcomeUnknownException>(() => write.GetAwaiter().GetResult());
        Assert.True(read.IsCompleted);
        Assert.Throws<NotAppliedException>(() => unsent.GetAwaiter().GetResult());
        var later = session.SetAsync("/a", default);
        while (_quorum[2].Scheduler.RunOne())
        {
        }
        Assert.Throws<NotAppliedException>(() => later.GetAwaiter().GetResult());
    }

    [Fact]
    public void Stopping_in_order_closes_the_sessions_of_this_process_first()
    {
        var session = _quorum.Open(2);
        _quorum.Open(2);
        var other = _quorum.Open(3);
        _quorum.Await(session.CreateAsync("/e", default, CreateMode.Ephemeral));
        var stopped = false;

        _quorum[2].Service.Keeper.Stopping(() => stopped = true);
        Assert.False(stopped);
        _quorum.Run();

        Assert.True(stopped);
        Assert.Null(_quorum.Await(other.ExistsAsync("/e")));
        Assert.Equal(1, _quorum[1].Service.Machine.Sessions.Count);
        var late = _quorum[2].Service.Sessions.Open();
        Assert.Throws<SessionExpiredException>(() => _quorum.Await(late.OpenedAsync()));
    }

    [Fact]
    public void Too_many_calls_at_once_are_refused_as_not_applied()
    {
        var quorum = new FakeQuorum(1, new ZnodeOptions { MaxCallsPerSession = 3 });
        var session = quorum.Open(1);
        quorum.LoseLeader();
        var first = Enumerable.Range(0, 3).Select(i => session.CreateAsync($"/n{i}")).ToArray();
        var fourth = session.CreateAsync("/n3");
        quorum.Run();
        quorum.Elect(1);

        foreach (var create in first)
            quorum.Await(create);
        Assert.Throws<NotAppliedException>(() => quorum.Await(fourth));
        Assert.Null(quorum.Await(session.ExistsAsync("/n3")));
    }

    [Fact]
    public void A_session_with_as_many_calls_as_it_may_have_can_still_be_closed()
    {
        var quorum = new FakeQuorum(1, new ZnodeOptions { MaxCallsPerSession = 2 });
        var session = quorum.Open(1);
        quorum.LoseLeader();
        var creates = Enumerable.Range(0, 2).Select(i => session.CreateAsync($"/n{i}")).ToArray();
        var closed = session.DisposeAsync().AsTask();
        quorum.Run();
        quorum.Elect(1);

        quorum.Await(closed);
        foreach (var create in creates)
            quorum.Await(create);
        Assert.Equal(0, quorum[1].Service.Machine.Sessions.Count);
    }

    [Fact]
    public void A_disposed_session_whose_close_was_refused_is_kept_alive_by_nobody()
    {
        var session = _quorum.Open(2, TimeSpan.FromSeconds(2));
        _quorum.Await(session.CreateAsync("/e", default, CreateMode.Ephemeral));
        _quorum[2].IsFull = true;
        _quorum.Await(session.DisposeAsync().AsTask());
        _quorum[2].IsFull = false;

        Assert.Equal(SessionState.Expired, session.State);
        _quorum.AdvanceUntil(() => _quorum[1].Service.Machine.Sessions.Count == 0, TimeSpan.FromSeconds(3));
        Assert.False(_quorum[1].Service.Machine.Tree.TryGetStat("/e", out _));
    }

    [Fact]
    public void Every_member_holds_the_same_tree_and_the_same_sessions()
    {
        var session = _quorum.Open(1);
        _quorum.Open(2);
        _quorum.Await(session.CreateAsync("/a"));
        _quorum.Await(session.CreateAsync("/a/e", default, CreateMode.EphemeralSequential));

        foreach (var member in _quorum.Members)
        {
            Assert.Equal(_quorum[1].Service.View.Digest, member.Service.View.Digest);
            Assert.Equal(_quorum[1].Service.Machine.Sessions.Digest, member.Service.Machine.Sessions.Digest);
        }
    }

    private static Exception? RefusedAtOnce(Func<Task> call)
    {
        try
        {
            _ = call();
            return null;
        }
        catch (Exception refusal)
        {
            return refusal;
        }
    }
}
