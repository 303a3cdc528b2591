using RaftKit.Znodes.Sessions;
using Xunit;

namespace RaftKit.Znodes.Tests.Sessions;

public sealed class KeepaliveTests
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(4);
    private static readonly TimeSpan Grace = Timeout / 4;
    private static readonly TimeSpan Tick = FakeQuorum.TickInterval;

    private readonly FakeQuorum _quorum = new(3);

    [Fact]
    public void A_session_whose_process_lives_stays_connected()
    {
        var onFollower = _quorum.Open(2);
        var onLeader = _quorum.Open(1);

        _quorum.Advance(10 * Timeout);

        Assert.Equal(SessionState.Connected, onFollower.State);
        Assert.Equal(SessionState.Connected, onLeader.State);
        // Live sessions cost the log nothing.
        Assert.Equal(2, _quorum.Log.Count);
    }

    [Fact]
    public void A_session_of_a_silent_process_expires_after_its_timeout_and_takes_its_ephemerals_along()
    {
        var session = _quorum.Open(3);
        var other = _quorum.Open(2);
        _quorum.Await(session.CreateAsync("/e", default, CreateMode.Ephemeral));
        _quorum.Advance(Timeout);
        _quorum[3].IsPaused = true;

        var took = _quorum.AdvanceUntil(() => _quorum.Await(other.ExistsAsync("/e")) is null, 2 * Timeout);

        Assert.InRange(took, Timeout - (Timeout / 6) - Tick, Timeout + (3 * Tick));
        Assert.Equal(1, _quorum[1].Service.Counters.ExpiredBySilence);
        Assert.Equal(SessionState.Connected, other.State);
    }

    [Fact]
    public void A_process_that_stood_still_knows_that_its_lease_ran_out_before_it_does_anything()
    {
        var session = _quorum.Open(3);
        var lease = (ISessionLease)session;
        _quorum.Advance(Timeout);
        Assert.True(lease.IsValid);
        _quorum[3].IsPaused = true;
        _quorum.Advance(2 * Timeout);

        // Not one turn of its loop has passed.
        Assert.False(lease.IsValid);
        Assert.NotEqual(SessionState.Connected, session.State);
        Assert.False(session.Expired.IsCancellationRequested);

        _quorum[3].IsPaused = false;
        _quorum.Advance(Tick);
        Assert.Equal(SessionState.Expired, session.State);
        Assert.True(session.Expired.IsCancellationRequested);
    }

    [Fact]
    public void The_lease_runs_from_the_sending_of_the_last_answered_keepalive()
    {
        var session = _quorum.Open(3);
        var lease = (ISessionLease)session;
        _quorum.Advance(Timeout);
        _quorum[3].IsIsolated = true;
        var left = lease.Remaining;
        Assert.InRange(left, Timeout - (Timeout / 6) - Tick, Timeout);

        _quorum.Advance(left - (Timeout / 3) - Tick);
        Assert.Equal(SessionState.Connected, session.State);
        _quorum.Advance(2 * Tick);
        Assert.Equal(SessionState.Suspended, session.State);
        Assert.True(lease.IsValid);
        _quorum.Advance(Timeout / 3);
        Assert.False(lease.IsValid);
        Assert.Equal(SessionState.Expired, session.State);
    }

    [Fact]
    public void The_lease_always_ends_before_the_quorum_expires_the_session()
    {
        foreach (var milliseconds in Enumerable.Range(0, 40).Select(i => i * 23))
        {
            var quorum = new FakeQuorum(3);
            var session = quorum.Open(3);
            var other = quorum.Open(2);
            quorum.Await(session.CreateAsync("/e", default, CreateMode.Ephemeral));
            quorum.Advance(TimeSpan.FromMilliseconds(milliseconds));
            quorum[3].IsIsolated = true;
            quorum.AdvanceUntil(() => quorum.Await(other.ExistsAsync("/e")) is null, 2 * Timeout);
            Assert.False(((ISessionLease)session).IsValid);
        }
    }

    [Fact]
    public void What_was_under_way_when_the_lease_ran_out_has_an_unknown_outcome()
    {
        var session = _quorum.Open(3);
        _quorum[3].IsIsolated = true;
        var write = session.CreateAsync("/a");
        var read = session.GetAsync("/a");

        _quorum.Advance(Timeout + Tick);

        Assert.Throws<RaftKit.Node.Proposals.OutcomeUnknownException>(() => _quorum.Await(write));
        Assert.Throws<SessionExpiredException>(() => _quorum.Await(read));
    }

    [Fact]
    public void A_pause_of_the_leader_counts_as_nobodys_silence()
    {
        var session = _quorum.Open(1);
        var lone = new FakeQuorum(1);
        var own = lone.Open(1);
        lone[1].IsPaused = true;
        lone.Advance(Timeout * 3);
        lone[1].IsPaused = false;
        lone.Advance(Tick);
        // Its owner gave it up, by its own clock; the leader, which is as much to blame, did not expire it.
        Assert.Equal(SessionState.Expired, own.State);
        Assert.Equal(0, lone[1].Service.Counters.Expired);

        var remote = _quorum.Open(2);
        _quorum.Advance(Timeout);
        // The leader stands still for less than the lease; meanwhile nothing is answered.
        _quorum[1].IsPaused = true;
        _quorum.Advance(Timeout * 3 / 4);
        _quorum[1].IsPaused = false;
        _quorum.Advance(Timeout * 2);
        Assert.Equal(SessionState.Connected, remote.State);
        Assert.Equal(SessionState.Connected, session.State);
        Assert.Equal(0, _quorum[1].Service.Counters.Expired);
    }

    [Fact]
    public void A_failover_within_the_timeout_costs_nobody_a_session()
    {
        var two = _quorum.Open(2);
        var three = _quorum.Open(3);
        for (var round = 0; round < 6; round++)
        {
            _quorum.Advance(Timeout / 5);
            _quorum.LoseLeader();
            _quorum.Advance(Timeout / 3);
            _quorum.Elect(1 + (round % 3));
        }
        _quorum.Advance(Timeout * 2);

        Assert.Equal(SessionState.Connected, two.State);
        Assert.Equal(SessionState.Connected, three.State);
        Assert.Equal(0, _quorum[1].Service.Counters.Expired);
    }

    [Fact]
    public void A_leader_that_was_replaced_behind_its_back_answers_nobody()
    {
        var session = _quorum.Open(2);
        _quorum.Advance(Timeout);
        var old = _quorum[1];
        Assert.Contains(_quorum.Messages, m => m is { From: 1, To: 2, Message.Kind: SessionMessageKind.Answer });
        _quorum.ElectBehindTheBackOf(old, 3);
        _quorum.Messages.Clear();

        Say(old, 2, session.Id);
        _quorum.Advance(Timeout / 3);

        Assert.DoesNotContain(_quorum.Messages, m => m is { From: 1, Message.Kind: SessionMessageKind.Answer });
        Assert.Contains(_quorum.Messages, m => m is { From: 3, To: 2, Message.Kind: SessionMessageKind.Answer });
    }

    [Fact]
    public void Failovers_make_nobody_immortal()
    {
        var session = _quorum.Open(3);
        var other = _quorum.Open(2);
        _quorum.Await(session.CreateAsync("/e", default, CreateMode.Ephemeral));
        _quorum.Advance(Timeout);
        _quorum[3].IsPaused = true;
        // Each leader lasts a little more than a quarter of the timeout: its checkpoint is what the next one goes on from.
        var leaders = 0;
        while (_quorum.Await(other.ExistsAsync("/e")) is not null)
        {
            Assert.True(++leaders < 12, "The dead session outlives every leader.");
            _quorum.Advance(Grace + (3 * Tick));
            _quorum.Elect(1 + (leaders % 2));
        }
        Assert.InRange(leaders, 3, 6);
    }

    [Fact]
    public void A_dead_session_ends_with_the_first_leader_that_lasts_a_grace()
    {
        var session = _quorum.Open(3);
        var other = _quorum.Open(2);
        _quorum.Await(session.CreateAsync("/e", default, CreateMode.Ephemeral));
        _quorum.Advance(Timeout);
        _quorum[3].IsPaused = true;
        _quorum.Advance(Timeout - (Timeout / 6) - (2 * Tick));
        Assert.NotNull(_quorum.Await(other.ExistsAsync("/e")));
        // These leaders last less than a grace and end nobody; nor do they give anything back.
        for (var i = 0; i < 20; i++)
        {
            _quorum.Elect(1 + (i % 2));
            _quorum.Advance(Grace / 2);
            Assert.NotNull(_quorum.Await(other.ExistsAsync("/e")));
        }

        _quorum.Elect(2);
        var took = _quorum.AdvanceUntil(() => _quorum.Await(other.ExistsAsync("/e")) is null, Timeout);
        Assert.InRange(took, Grace - Tick, (2 * Grace) + (3 * Tick));
    }

    [Fact]
    public void A_live_session_is_given_a_grace_by_a_leader_whose_log_says_it_was_silent()
    {
        var session = _quorum.Open(3);
        var other = _quorum.Open(2);
        _quorum.Advance(Timeout);
        _quorum[3].IsIsolated = true;
        _quorum.Advance(Timeout * 3 / 4);
        Assert.Contains(_quorum.Log, e => e.Proposal.Command[1] == (byte)SessionCommandKind.Checkpoint);

        // The link is mended; its keepalive resets the log's word before it is answered, and the lease with it.
        _quorum[3].IsIsolated = false;
        _quorum.Advance(Timeout / 6);
        Assert.Equal(SessionState.Connected, session.State);
        Assert.True(_quorum[1].Service.Machine.Sessions.TryGet(session.Id, out var replicated));
        Assert.Equal(0, replicated.SpentMilliseconds);

        _quorum.Elect(2);
        _quorum.Advance(Timeout * 2);
        Assert.Equal(SessionState.Connected, session.State);
        Assert.Equal(SessionState.Connected, other.State);
    }

    [Fact]
    public void From_the_proposal_of_an_expiry_on_the_session_is_not_answered()
    {
        var session = _quorum.Open(3);
        _quorum.Advance(Timeout);
        _quorum[3].IsPaused = true;
        _quorum.HoldsLeadersProposals = true;
        _quorum.AdvanceUntil(() => _quorum.Held.Any(p => p.Command[1] == (byte)SessionCommandKind.Expire), 2 * Timeout);
        _quorum.Messages.Clear();

        Say(_quorum[1], 3, session.Id);
        _quorum.Advance(5 * Tick);
        Assert.DoesNotContain(_quorum.Messages, m => m is { To: 3, Message.Kind: SessionMessageKind.Answer });

        _quorum.CommitHeld();
        _quorum.Run();
        Assert.Equal(1, _quorum[1].Service.Counters.ExpiredBySilence);
    }

    [Fact]
    public void While_the_log_says_that_a_session_was_silent_it_is_not_answered()
    {
        var session = _quorum.Open(3);
        _quorum.Advance(Timeout);
        _quorum[3].IsPaused = true;
        _quorum.Advance(Timeout / 2);
        _quorum.Messages.Clear();
        _quorum.HoldsLeadersProposals = true;

        // Heard again: the reset is proposed, and only once it is applied an answer may promise a whole timeout.
        Say(_quorum[1], 3, session.Id);
        Say(_quorum[1], 3, session.Id);
        Assert.Single(_quorum.Held);
        Assert.Empty(_quorum.Messages);
        _quorum.HoldsLeadersProposals = false;
        _quorum.CommitHeld();
        _quorum.Run();
        Say(_quorum[1], 3, session.Id);

        Assert.Contains(_quorum.Messages, m => m is { To: 3, Message.Kind: SessionMessageKind.Answer });
    }

    [Fact]
    public void A_command_that_comes_after_the_judgement_voids_the_expiry()
    {
        var session = _quorum.Open(3);
        _quorum.Advance(Timeout);
        _quorum[3].IsPaused = true;
        _quorum.HoldsLeadersProposals = true;
        _quorum.AdvanceUntil(() => _quorum.Held.Any(p => p.Command[1] == (byte)SessionCommandKind.Expire), 2 * Timeout);

        // A write of the session's had been on its way, and stands before the expiry in the log.
        _quorum[1].Propose(
            "znodes", SessionCommand.Tree(session.Id, new RaftKit.Znodes.Tree.TreeCommand.Create("/late", default), 64), null);
        _quorum.Run();
        _quorum.CommitHeld();
        _quorum.HoldsLeadersProposals = false;
        _quorum.Run();

        Assert.Equal(0, _quorum[1].Service.Counters.Expired);
        Assert.Equal(1, _quorum[1].Service.Counters.Spared);
        Assert.True(_quorum[1].Service.Machine.Sessions.TryGet(session.Id, out _));
        // Contact starts fresh: one whole timeout more.
        _quorum.Advance(Timeout - (2 * Tick));
        Assert.True(_quorum[1].Service.Machine.Sessions.TryGet(session.Id, out _));
        _quorum.Advance(4 * Tick);
        Assert.False(_quorum[1].Service.Machine.Sessions.TryGet(session.Id, out _));
    }

    [Fact]
    public void A_leader_that_is_busy_proposes_the_expiry_again()
    {
        var session = _quorum.Open(3);
        _quorum[1].IsBusy = true;
        _quorum[3].IsPaused = true;
        _quorum.Advance(Timeout * 2);
        Assert.True(_quorum[1].Service.Machine.Sessions.TryGet(session.Id, out _));

        _quorum[1].IsBusy = false;
        _quorum.Advance(2 * Tick);

        Assert.False(_quorum[1].Service.Machine.Sessions.TryGet(session.Id, out _));
    }

    [Fact]
    public void A_garbled_message_is_ignored()
    {
        var session = _quorum.Open(2);
        foreach (var bytes in (byte[][])[[], [0xc1], [0x93, 0x09, 0x00, 0x90], [0x93, 0x01, 0x01, 0xdd, 0xff, 0xff, 0xff, 0xff],
            [0x93, 0x01]])
            _quorum[1].Service.Keeper.Received(new RaftKit.Consensus.MemberId(2), bytes);
        _quorum.Advance(Timeout);
        Assert.Equal(SessionState.Connected, session.State);
    }

    private void Say(FakeMember leader, int from, long session)
    {
        var keepalive = new SessionMessage(SessionMessageKind.Keepalive, 1_000_000, [session]);
        leader.Service.Keeper.Received(new RaftKit.Consensus.MemberId(from), keepalive.Encode());
        _quorum.Run();
    }
}
