using System.Text;
using RaftKit.Recipes.Tests.Fakes;
using RaftKit.Znodes;
using Xunit;

namespace RaftKit.Recipes.Tests;

public sealed class LeaderElectionTests
{
    private const string Path = "/elections/scheduler";
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly FakeQuorum _quorum = new();

    [Fact]
    public async Task The_first_to_contend_leads_at_once()
    {
        await using var leadership = await Lead(_quorum.OpenFake());

        Assert.True(leadership.IsHeld);
        Assert.False(leadership.Lost.IsCancellationRequested);
        Assert.Equal(_quorum.Get(leadership.Path)!.Stat.CreatedZxid, leadership.FencingToken.Value);
    }

    [Fact]
    public async Task The_next_in_the_queue_leads_with_a_greater_token_when_the_leader_resigns()
    {
        var first = await Lead(_quorum.OpenFake());
        var second = Contend(_quorum.OpenFake());
        Assert.False(second.IsCompleted);

        await first.DisposeAsync();

        await using var leadership = await second.WaitAsync(Patience);
        Assert.True(leadership.FencingToken > first.FencingToken);
        Assert.True(first.Lost.IsCancellationRequested);
        Assert.False(first.IsHeld);
    }

    [Fact]
    public async Task A_waiting_contender_watches_the_entry_before_its_own_and_nothing_else()
    {
        await using var leader = await Lead(_quorum.OpenFake());
        var sessions = Enumerable.Range(0, 3).Select(_ => _quorum.OpenFake()).ToList();
        using var stop = new CancellationTokenSource();
        var waits = sessions.Select(s => Contend(s, stop.Token)).ToList();

        var queue = _quorum.ChildrenOf(Path).OrderBy(name => name[^10..]).Select(name => $"{Path}/{name}").ToList();
        Assert.Equal(4, queue.Count);
        for (var i = 0; i < sessions.Count; i++)
            Assert.Equal(queue[i], Assert.Single(sessions[i].Watches).Path);

        await stop.CancelAsync();
        foreach (var wait in waits)
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => wait.WaitAsync(Patience));
        Assert.All(sessions, session => Assert.Empty(session.Watches));
    }

    [Fact]
    public async Task When_a_contender_in_the_middle_gives_up_its_successor_waits_for_the_one_before()
    {
        var leader = await Lead(_quorum.OpenFake());
        using var middle = new CancellationTokenSource();
        var second = Contend(_quorum.OpenFake(), middle.Token);
        var third = Contend(_quorum.OpenFake());

        await middle.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second.WaitAsync(Patience));
        Assert.False(third.IsCompleted);

        await leader.DisposeAsync();
        await using var leadership = await third.WaitAsync(Patience);
        Assert.Single(_quorum.ChildrenOf(Path));
    }

    [Fact]
    public async Task An_entry_that_goes_between_the_reading_of_the_queue_and_the_watch_is_noticed()
    {
        var leader = await Lead(_quorum.OpenFake());
        var session = _quorum.OpenFake();
        session.BeforeWatch = path =>
        {
            session.BeforeWatch = null;
            _quorum.Delete(path);
        };

        await using var leadership = await Contend(session).WaitAsync(Patience);
        Assert.True(leader.Lost.IsCancellationRequested);
    }

    [Fact]
    public async Task Tokens_grow_even_when_the_path_is_deleted_and_counts_anew()
    {
        var last = default(FencingToken);
        for (var round = 0; round < 5; round++)
        {
            var leadership = await Lead(_quorum.OpenFake());
            Assert.EndsWith("0000000000", leadership.Path);
            Assert.True(leadership.FencingToken > last);
            last = leadership.FencingToken;
            await leadership.DisposeAsync();
            _quorum.Delete(Path);
        }
    }

    [Fact]
    public async Task A_leader_whose_session_expired_has_lost_at_once()
    {
        var session = _quorum.OpenFake();
        await using var leadership = await Lead(session);
        var next = Contend(_quorum.OpenFake());

        session.Expire();

        Assert.True(leadership.Lost.IsCancellationRequested);
        Assert.False(leadership.IsHeld);
        await using var taken = await next.WaitAsync(Patience);
        Assert.True(taken.FencingToken > leadership.FencingToken);
    }

    [Fact]
    public async Task A_leader_out_of_touch_with_the_quorum_does_not_hold_while_that_lasts()
    {
        var session = _quorum.OpenFake();
        await using var leadership = await Lead(session);

        session.State = SessionState.Suspended;
        Assert.False(leadership.IsHeld);
        Assert.False(leadership.Lost.IsCancellationRequested);

        session.State = SessionState.Connected;
        Assert.True(leadership.IsHeld);
    }

    [Fact]
    public async Task A_leader_that_may_have_expired_leaves_the_queue_though_its_session_lives()
    {
        var session = _quorum.OpenFake();
        await using var election = new LeaderElection(session, Path, Options());
        var leadership = await election.WaitForLeadershipAsync().WaitAsync(Patience);

        session.MayHaveExpired();

        Assert.True(leadership.Lost.IsCancellationRequested);
        await election.DisposeAsync();
        Assert.Empty(_quorum.ChildrenOf(Path));
    }

    [Fact]
    public async Task A_leader_whose_entry_somebody_deletes_has_lost()
    {
        await using var leadership = await Lead(_quorum.OpenFake());
        _quorum.Delete(leadership.Path);
        Assert.True(leadership.Lost.IsCancellationRequested);
    }

    [Fact]
    public async Task A_contender_whose_entry_somebody_deletes_contends_again()
    {
        var leader = await Lead(_quorum.OpenFake());
        var session = _quorum.OpenFake();
        var waiting = Contend(session);
        _quorum.Delete($"{Path}/{_quorum.ChildrenOf(Path).Single(name => name.StartsWith($"{session.Id:x16}"))}");

        await leader.DisposeAsync();

        await using var leadership = await waiting.WaitAsync(Patience);
        Assert.True(leadership.IsHeld);
    }

    [Fact]
    public async Task Giving_up_removes_the_entry()
    {
        await using var leader = await Lead(_quorum.OpenFake());
        await using var election = new LeaderElection(_quorum.OpenFake(), Path, Options());
        using var stop = new CancellationTokenSource();
        var waiting = election.WaitForLeadershipAsync(stop.Token);
        Assert.Equal(2, _quorum.ChildrenOf(Path).Count);

        await stop.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(Patience));
        await election.DisposeAsync();
        Assert.Single(_quorum.ChildrenOf(Path));
    }

    [Fact]
    public async Task Giving_up_does_not_wait_for_a_quorum_that_does_not_answer_and_still_leaves_no_entry()
    {
        await (await Lead(_quorum.OpenFake())).DisposeAsync();
        await using var election = new LeaderElection(_quorum.OpenFake(), Path, Options());
        using var stop = new CancellationTokenSource();
        _quorum.Hold();
        var waiting = election.WaitForLeadershipAsync(stop.Token);

        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(Patience));

        _quorum.Release();
        await election.DisposeAsync();
        Assert.Empty(_quorum.ChildrenOf(Path));
    }

    [Fact]
    public async Task An_election_with_one_session_ends_with_it()
    {
        await using var leader = await Lead(_quorum.OpenFake());
        var session = _quorum.OpenFake();
        var waiting = Contend(session);

        session.Expire();

        var e = await Assert.ThrowsAsync<SessionExpiredException>(() => waiting.WaitAsync(Patience));
        Assert.Equal(session.Id, e.SessionId);
    }

    [Fact]
    public async Task An_election_with_a_source_of_sessions_contends_again_with_the_next_one()
    {
        var leader = await Lead(_quorum.OpenFake());
        await using var source = new ZnodeSessionSource(_quorum);
        await using var election = new LeaderElection(source, Path, Options());
        var waiting = election.WaitForLeadershipAsync();
        var first = _quorum.Sessions[^1];

        first.Expire();
        await leader.DisposeAsync();

        await using var leadership = await waiting.WaitAsync(Patience);
        Assert.NotEqual(first.Id, _quorum.Get(leadership.Path)!.Stat.EphemeralOwner);
    }

    [Fact]
    public async Task A_resignation_gives_up_waiting_after_the_session_timeout_but_not_trying()
    {
        await using var election = new LeaderElection(_quorum.OpenFake(), Path, Options());
        var leadership = await election.WaitForLeadershipAsync().WaitAsync(Patience);
        _quorum.Hold();

        await leadership.DisposeAsync().AsTask().WaitAsync(Patience);
        Assert.False(leadership.IsHeld);
        Assert.Single(_quorum.ChildrenOf(Path));

        _quorum.Release();
        await election.DisposeAsync();
        Assert.Empty(_quorum.ChildrenOf(Path));
    }

    [Fact]
    public async Task Whoever_hears_of_the_loss_may_contend_again_in_the_same_call()
    {
        var election = new LeaderElection(_quorum.OpenFake(), Path, Options());
        var leadership = await election.WaitForLeadershipAsync().WaitAsync(Patience);
        Task<Leadership>? again = null;
        leadership.Lost.Register(() => again = election.WaitForLeadershipAsync());

        _quorum.Delete(leadership.Path);

        await using var second = await again!.WaitAsync(Patience);
        Assert.True(second.FencingToken > leadership.FencingToken);
    }

    [Fact]
    public async Task Other_znodes_under_the_path_do_not_stand_in_the_queue()
    {
        var session = _quorum.OpenFake();
        await session.CreateAsync("/elections");
        await session.CreateAsync(Path);
        await session.CreateAsync($"{Path}/config");
        await session.CreateAsync($"{Path}/-1");

        await using var leadership = await Lead(session);
        Assert.True(leadership.IsHeld);
    }

    [Fact]
    public async Task A_path_that_has_used_up_its_sequence_numbers_is_refused_rather_than_granted_twice()
    {
        await (await Lead(_quorum.OpenFake())).DisposeAsync();
        _quorum.SetCounter(Path, int.MaxValue);
        await using var leader = await Lead(_quorum.OpenFake());

        var e = await Assert.ThrowsAsync<InvalidOperationException>(() => Contend(_quorum.OpenFake()).WaitAsync(Patience));

        Assert.Contains(Path, e.Message);
        Assert.Single(_quorum.ChildrenOf(Path));
    }

    [Fact]
    public async Task Anybody_can_ask_who_leads()
    {
        await using var asks = new LeaderElection(_quorum.OpenFake(), Path);
        Assert.Null(await asks.GetLeaderAsync());

        var session = _quorum.OpenFake();
        await using var election = new LeaderElection(session, Path, new LeaderElectionOptions { Data = "broker 2"u8.ToArray() });
        var leadership = await election.WaitForLeadershipAsync().WaitAsync(Patience);

        var leader = await asks.GetLeaderAsync();
        Assert.Equal(leadership.FencingToken, leader!.FencingToken);
        Assert.Equal("broker 2", Encoding.UTF8.GetString(leader.Data.Span));
        Assert.Equal(session.Id, leader.Session);

        await leadership.DisposeAsync();
        Assert.Null(await asks.GetLeaderAsync());
    }

    [Fact]
    public async Task An_observer_hears_of_each_change_of_leader_and_of_none()
    {
        var observer = _quorum.OpenFake();
        await using var election = new LeaderElection(observer, Path, Options());
        await using var changes = election.LeaderChangesAsync().GetAsyncEnumerator();

        Assert.Null(await Next());
        var first = await Lead(_quorum.OpenFake());
        Assert.Equal(first.FencingToken, (await Next())!.FencingToken);

        var second = Contend(_quorum.OpenFake());
        await first.DisposeAsync();
        await using var leadership = await second.WaitAsync(Patience);
        Assert.Equal(leadership.FencingToken, (await Next())!.FencingToken);

        await leadership.DisposeAsync();
        Assert.Null(await Next());

        observer.Expire();
        await Assert.ThrowsAsync<SessionExpiredException>(Next);

        async Task<ElectedLeader?> Next()
        {
            Assert.True(await changes.MoveNextAsync().AsTask().WaitAsync(Patience));
            return changes.Current;
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("/")]
    [InlineData("elections")]
    [InlineData("/elections/")]
    public void A_path_that_cannot_have_entries_is_refused(string path) =>
        Assert.Throws<ArgumentException>(() => new LeaderElection(_quorum.OpenFake(), path));

    private static LeaderElectionOptions Options() => new() { TimeProvider = new InstantTime() };

    private static Task<Leadership> Contend(IZnodeSession session, CancellationToken cancellationToken = default) =>
        new LeaderElection(session, Path, Options()).WaitForLeadershipAsync(cancellationToken);

    private static Task<Leadership> Lead(IZnodeSession session) => Contend(session).WaitAsync(Patience);
}
