using RaftKit.Node.Proposals;
using RaftKit.Znodes.Sessions;
using Xunit;

namespace RaftKit.Znodes.Tests.Sessions;

/// <summary>Sessions of clients that are connected through a member, and move.</summary>
public sealed class GuestTests
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(4);
    private static readonly TimeSpan Tick = FakeQuorum.TickInterval;
    private static readonly byte[] Password = [.. Enumerable.Range(1, SessionCommand.PasswordLength).Select(i => (byte)i)];

    private readonly FakeQuorum _quorum = new(3);

    [Fact]
    public void A_client_that_is_heard_keeps_its_session_and_one_that_is_not_loses_it_within_its_timeout_and_a_grace()
    {
        var spoken = Open(2);
        var silent = Open(2);
        _quorum.Await(silent.Session.CreateAsync("/e", default, CreateMode.Ephemeral));
        var took = _quorum.AdvanceUntil(
            () =>
            {
                spoken.Touch();
                return !IsAlive(silent);
            },
            3 * Timeout);

        Assert.InRange(took, Timeout, Timeout + (Timeout / 4) + (4 * Tick));
        Assert.True(IsAlive(spoken));
        Assert.Null(spoken.Leave);
        Assert.True(silent.Session.Expired.IsCancellationRequested);
        Assert.Null(_quorum.Await(spoken.Session.ExistsAsync("/e")));
    }

    [Fact]
    public void A_ping_each_third_of_the_timeout_is_enough_also_over_failovers()
    {
        var guest = Open(3);
        for (var third = 0; third < 12; third++)
        {
            guest.Touch();
            if (third % 3 == 2)
                _quorum.Elect((third / 3 % 2) + 1);
            _quorum.Advance(Timeout / 3);
        }

        Assert.Null(guest.Leave);
        Assert.True(IsAlive(guest));
    }

    [Fact]
    public void Failovers_do_not_keep_a_silent_client_alive()
    {
        var guest = Open(3);
        var took = TimeSpan.Zero;
        for (var leader = 1; IsAlive(guest); leader = (leader % 2) + 1)
        {
            Assert.True(took < 3 * Timeout, "It lives for ever.");
            _quorum.Elect(leader);
            _quorum.Advance(Timeout / 3);
            took += Timeout / 3;
        }

        Assert.InRange(took, Timeout, 2 * Timeout);
    }

    [Fact]
    public void A_session_goes_on_through_another_member_with_its_ephemerals_and_its_timeout()
    {
        var guest = Open(2, TimeSpan.FromSeconds(7));
        _quorum.Await(guest.Session.CreateAsync("/e", default, CreateMode.Ephemeral));
        guest.Detach();
        _quorum.Run();
        Assert.Equal(SessionLeave.Detached, guest.Leave);

        var moved = TakeUp(3, guest);

        Assert.Equal((guest.Id, TimeSpan.FromSeconds(7)), (moved.Id, moved.Timeout));
        Assert.Equal(guest.Id, _quorum.Await(moved.Session.ExistsAsync("/e"))!.Value.EphemeralOwner);
        _quorum.Await(moved.Session.SetAsync("/e", "2"u8.ToArray()));
        _quorum.Await(moved.CloseAsync());
        Assert.False(IsAlive(guest));
        Assert.False(_quorum[1].Service.Machine.Tree.TryGetStat("/e", out _));
    }

    [Fact]
    public void The_connection_that_is_left_behind_is_told_that_the_session_moved_and_can_neither_write_nor_close_it()
    {
        var old = Open(2);
        var moved = TakeUp(3, old);

        Assert.Equal(SessionLeave.Moved, old.Leave);
        Assert.True(Assert.Throws<SessionDetachedException>(() => _quorum.Await(old.Session.CreateAsync("/late"))).Moved);
        Assert.True(Assert.Throws<SessionDetachedException>(() => _quorum.Await(old.Session.GetAsync("/"))).Moved);
        _quorum.Await(old.CloseAsync());
        Assert.True(IsAlive(moved));
        Assert.Null(moved.Leave);
    }

    [Fact]
    public void A_write_that_was_under_way_over_the_old_connection_is_refused_once_the_session_has_moved()
    {
        var old = Open(2);
        _quorum[2].IsIsolated = true;
        var late = old.Session.CreateAsync("/late");
        _quorum.Run();
        var moved = TakeUp(3, old);
        _quorum.Await(moved.Session.CreateAsync("/new"));

        _quorum[2].IsIsolated = false;
        _quorum.Run();

        Assert.Throws<OutcomeUnknownException>(() => _quorum.Await(late));
        Assert.False(_quorum[1].Service.Machine.Tree.TryGetStat("/late", out _));
        Assert.Equal(SessionLeave.Moved, old.Leave);
    }

    [Fact]
    public void A_wrong_password_is_refused_like_a_session_that_never_was()
    {
        var guest = Open(2);
        foreach (var wrong in new byte[][] { new byte[16], [], Password[..15], [.. Password, 0] })
        {
            var refused =
                Assert.Throws<SessionExpiredException>(() => _quorum.Await(_quorum[3].Service.Guests.TakeUpAsync(guest.Id, wrong)));
            var never =
                Assert.Throws<SessionExpiredException>(() => _quorum.Await(_quorum[3].Service.Guests.TakeUpAsync(guest.Id + 1, Password)));
            Assert.Equal($"{guest.Id + 1:x}", $"{never.SessionId:x}");
            Assert.Equal(
                refused.Message.Replace($"{guest.Id:x}", "", StringComparison.Ordinal),
                never.Message.Replace($"{guest.Id + 1:x}", "", StringComparison.Ordinal));
        }

        Assert.Null(guest.Leave);
        Assert.Equal(guest.Id, TakeUp(3, guest).Id);
    }

    [Fact]
    public void A_client_of_another_cluster_that_has_seen_more_than_there_is_is_turned_away()
    {
        var guest = Open(2);
        var refused = Assert.Throws<SessionDetachedException>(
            () => _quorum.Await(_quorum[3].Service.Guests.TakeUpAsync(guest.Id, Password, lastZxid: 1_000_000)));
        Assert.Contains("has seen zxid f4240", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_client_that_connects_anew_through_the_same_member_replaces_its_old_connection()
    {
        var old = Open(2);
        var renewed = TakeUp(2, old);

        Assert.Equal(SessionLeave.Moved, old.Leave);
        old.Detach();
        _quorum.Await(renewed.Session.CreateAsync("/a"));
        for (var i = 0; i < 8; i++)
        {
            renewed.Touch();
            _quorum.Advance(Timeout / 4);
        }
        Assert.Null(renewed.Leave);
    }

    [Fact]
    public void A_members_stop_closes_its_own_session_and_leaves_its_clients_to_the_others()
    {
        var hosts = _quorum.Open(2);
        var guests = Enumerable.Range(0, 3).Select(_ => Open(2)).ToList();
        var done = false;

        _quorum[2].Service.Keeper.Stopping(() => done = true);
        _quorum.Run();

        Assert.True(done);
        Assert.All(guests, g => Assert.Equal(SessionLeave.Detached, g.Leave));
        // Nor is a client that comes too late told that its session has ended.
        Assert.False(Assert.Throws<SessionDetachedException>(() => TakeUp(2, guests[0])).Moved);
        Assert.False(_quorum[1].Service.Machine.Sessions.TryGet(hosts.Id, out _));
        _quorum[2].Kill();
        Assert.All(guests, g => Assert.Equal(g.Id, TakeUp(3, g).Id));
    }

    [Fact]
    public void Through_a_member_that_lost_touch_with_the_quorum_a_client_is_let_go_and_not_closed()
    {
        var guest = Open(2);
        _quorum[2].IsIsolated = true;
        for (var i = 0; i < 5; i++)
        {
            guest.Touch();
            _quorum.Advance(Timeout / 4);
        }

        Assert.Equal(SessionLeave.Detached, guest.Leave);
        Assert.True(IsAlive(guest), "its client gets one fresh timeout to connect elsewhere");
        Assert.Equal(guest.Id, TakeUp(3, guest).Id);
    }

    [Fact]
    public void Sessions_of_one_member_answer_independently_of_each_other()
    {
        var blocked = Open(2);
        var free = Open(2);
        var heard = new List<string>();
        _quorum.Await(blocked.Session.WatchAsync("/a", WatchMode.Persistent, e => heard.Add($"blocked {e.Type}")));
        _quorum.Await(free.Session.WatchAsync("/a", WatchMode.Persistent, e => heard.Add($"free {e.Type}")));

        _quorum.Await(free.Session.CreateAsync("/a"));
        blocked.Detach();
        _quorum.Run();
        _quorum.Await(free.Session.SetAsync("/a", default));

        Assert.Equal(["blocked Created", "free Created", "free DataChanged"], heard.Order());
    }

    [Fact]
    public void An_opening_that_nobody_waits_for_any_more_is_closed_again_and_a_taking_up_leaves_the_session_free()
    {
        using var cancelled = new CancellationTokenSource();
        var guest = Open(2);
        _quorum.LoseLeader();
        var opening = _quorum[2].Service.Guests.OpenAsync(Timeout, Password, cancelled.Token);
        var takingUp = _quorum[3].Service.Guests.TakeUpAsync(guest.Id, Password, 0, cancelled.Token);
        _quorum.Run();
        cancelled.Cancel();
        _quorum.Run();
        Assert.True(opening.IsCanceled && takingUp.IsCanceled);

        _quorum.Elect(1);
        _quorum.Run();

        Assert.Equal([guest.Id], _quorum[1].Service.Machine.Sessions.All.Select(s => s.Id));
        Assert.Equal(guest.Id, TakeUp(1, guest).Id);
    }

    private GuestSession Open(int member, TimeSpan? timeout = null) =>
        _quorum.Await(_quorum[member].Service.Guests.OpenAsync(timeout ?? Timeout, Password));

    private GuestSession TakeUp(int member, GuestSession guest) =>
        _quorum.Await(_quorum[member].Service.Guests.TakeUpAsync(guest.Id, Password));

    private bool IsAlive(GuestSession guest) => _quorum[1].Service.Machine.Sessions.TryGet(guest.Id, out _);
}
