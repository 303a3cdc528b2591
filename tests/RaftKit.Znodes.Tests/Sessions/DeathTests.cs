using RaftKit.Consensus;
using RaftKit.Node.Transport;
using RaftKit.Znodes.Sessions;
using RaftKit.Znodes.Watches;
using Xunit;

namespace RaftKit.Znodes.Tests.Sessions;

public sealed class DeathTests
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(4);
    private static readonly TimeSpan Tick = FakeQuorum.TickInterval;

    [Fact]
    public void Proof_of_death_ends_the_dead_hosts_own_sessions_at_once_and_nobody_elses()
    {
        var quorum = new FakeQuorum(3);
        quorum.Open(3);
        var other = quorum.Open(2);
        var guest = OpenGuest(quorum, 3);
        quorum[3].Kill();

        quorum.ProveDead(quorum[3]);

        Assert.Equal(1, quorum[1].Service.Counters.ExpiredByHostDeath);
        Assert.True(quorum[1].Service.Machine.Sessions.TryGet(guest, out _));
        Assert.Equal(SessionState.Connected, other.State);
    }

    [Fact]
    public void A_command_that_was_under_way_when_its_process_died_does_not_void_the_proof()
    {
        var quorum = new FakeQuorum(3);
        var session = quorum.Open(3);
        quorum.HoldsLeadersProposals = true;
        quorum[3].Kill();
        quorum.ProveDead(quorum[3]);
        quorum[1].Propose(
            "znodes", SessionCommand.Tree(session.Id, new RaftKit.Znodes.Tree.TreeCommand.Create("/late", default), 64), null);
        quorum.Run();
        quorum.CommitHeld();
        quorum.HoldsLeadersProposals = false;
        quorum.Run();

        Assert.Equal(0, quorum[1].Service.Machine.Sessions.Count);
    }

    [Fact]
    public void The_leaders_own_death_is_remembered_by_whoever_leads_next()
    {
        var quorum = new FakeQuorum(3);
        var doomed = quorum.Open(1);
        var other = quorum.Open(2);
        quorum.Await(doomed.CreateAsync("/e", default, CreateMode.Ephemeral));
        quorum[1].Kill();
        quorum.LoseLeader();
        quorum.ProveDead(quorum[1]);
        Assert.NotNull(quorum.Await(other.ExistsAsync("/e")));

        quorum.Elect(3);

        Assert.Null(quorum.Await(other.ExistsAsync("/e")));
        Assert.Equal(1, quorum[3].Service.Counters.ExpiredByHostDeath);
    }

    [Fact]
    public void A_session_whose_opening_is_applied_after_the_proof_ends_as_well()
    {
        var quorum = new FakeQuorum(3);
        quorum.ProveDead(quorum[3]);
        Propose(quorum, SessionCommand.Open(4000, new MemberId(3), new ProposerId(new MemberId(3), 1, 1), default));

        quorum.Advance(2 * Tick);

        Assert.Equal(0, quorum[1].Service.Machine.Sessions.Count);
    }

    [Fact]
    public void A_restarted_host_keeps_its_new_sessions_when_its_old_start_is_proven_dead()
    {
        var quorum = new FakeQuorum(3);
        quorum.Open(3);
        var dead = quorum[3];
        var restarted = quorum.Restart(3);
        quorum.Run();
        var session = quorum.Open(3);

        quorum.ProveDead(dead);
        quorum.Advance(5 * Tick);

        Assert.Equal(1, quorum[1].Service.Machine.Sessions.Count);
        Assert.True(quorum[1].Service.Machine.Sessions.TryGet(session.Id, out var alive));
        Assert.Equal(2, alive.Host!.Value.Boot);
        Assert.Equal(SessionState.Connected, session.State);
        Assert.Same(restarted, quorum[3]);
    }

    [Fact]
    public void A_member_that_leads_ends_the_sessions_of_its_own_older_starts_at_once()
    {
        var quorum = new FakeQuorum(1);
        quorum.Open(1);
        quorum.LoseLeader();
        quorum.Restart(1);
        quorum.Run();
        var session = quorum[1].Service.Sessions.Open();

        quorum.Elect(1);

        quorum.Await(session.OpenedAsync());
        Assert.Equal([session.Id], quorum[1].Service.Machine.Sessions.All.Select(s => s.Id));
        Assert.Equal(1, quorum[1].Service.Counters.ExpiredByHostDeath);
    }

    [Fact]
    public void A_member_that_leads_leaves_the_sessions_of_its_older_incarnation_to_their_timeout()
    {
        var quorum = new FakeQuorum(3);
        var member = new MemberId(1);
        var incarnation = quorum[1].Incarnation - 1;
        quorum.LoseLeader();
        quorum.Elect(2);
        Propose(quorum, SessionCommand.Open((int)Timeout.TotalMilliseconds, member, new ProposerId(member, incarnation, 9), default));

        quorum.Elect(1);

        // The wiped member's old process may run beside the new one, from a directory of its own, and trust its lease.
        Assert.Single(quorum[1].Service.Machine.Sessions.All);
        Assert.Equal(0, quorum[1].Service.Counters.ExpiredByHostDeath);
        quorum.Advance(Timeout + (3 * Tick));
        Assert.Empty(quorum[1].Service.Machine.Sessions.All);
        Assert.Equal(1, quorum[1].Service.Counters.ExpiredBySilence);
    }

    [Fact]
    public void Proof_about_a_newer_incarnation_proves_nothing_about_an_older_one()
    {
        var quorum = new FakeQuorum(3);
        var member = new MemberId(3);
        Propose(quorum,
            SessionCommand.Open((int)Timeout.TotalMilliseconds, member, new ProposerId(member, quorum[3].Incarnation - 1, 9), default));
        var old = quorum[1].Service.Machine.Sessions.All.Single().Id;
        quorum[3].Kill();

        quorum.ProveDead(quorum[3]);
        Assert.True(quorum[1].Service.Machine.Sessions.TryGet(old, out _));

        // Nor does the log take anybody's word for it.
        Propose(quorum,
            SessionCommand.Expire(old, new LogIndex(1000), SessionEnd.HostDied, new ProposerId(member, quorum[3].Incarnation, 1)));
        Assert.True(quorum[1].Service.Machine.Sessions.TryGet(old, out _));
    }

    [Fact]
    public void Refused_connections_are_no_proof()
    {
        var quorum = new FakeQuorum(3);
        var session = quorum.Open(3);
        quorum.ProveDead(quorum[3], proven: false);
        quorum.Advance(Timeout * 2);

        Assert.Equal(SessionState.Connected, session.State);
    }

    [Fact]
    public void An_operator_may_take_refused_connections_for_death()
    {
        var quorum = new FakeQuorum(3, new ZnodeOptions { SessionTimeout = Timeout, ExpireOnRefusedConnection = true });
        quorum.Open(3);
        var other = quorum.Open(2);
        quorum[3].Kill();
        quorum.ProveDead(quorum[3], proven: false);

        Assert.Equal(1, quorum[1].Service.Counters.ExpiredByRefusal);
        Assert.Equal(SessionState.Connected, other.State);
    }

    [Fact]
    public void A_client_of_a_member_that_fell_silent_has_one_whole_timeout_more_to_re_attach()
    {
        var quorum = new FakeQuorum(3);
        var guest = OpenGuest(quorum, 3);
        quorum[3].IsPaused = true;

        quorum.Advance(Timeout + (3 * Tick));
        Assert.True(quorum[1].Service.Machine.Sessions.TryGet(guest, out _));
        Propose(quorum, SessionCommand.Reattach(guest, new MemberId(2), new byte[SessionCommand.PasswordLength]));
        quorum.Run();
        Assert.True(quorum[1].Service.Machine.Sessions.TryGet(guest, out var moved));
        Assert.Equal(2, moved.Member.Value);
        Assert.False(moved.Extended);

        // Through a member that lives it has its timeout, and that is all.
        quorum.Advance(Timeout - (2 * Tick));
        Assert.True(quorum[1].Service.Machine.Sessions.TryGet(guest, out _));
        quorum.Advance(5 * Tick);
        Assert.False(quorum[1].Service.Machine.Sessions.TryGet(guest, out _));
    }

    [Fact]
    public void The_extension_is_given_once_also_over_a_failover()
    {
        var quorum = new FakeQuorum(3);
        var guest = OpenGuest(quorum, 3);
        quorum[3].IsPaused = true;
        quorum.Advance(Timeout / 2);
        quorum.BreakLinksOf(quorum[3]);
        quorum.Advance(Timeout * 3 / 4);
        Assert.True(quorum[1].Service.Machine.Sessions.TryGet(guest, out var replicated));
        Assert.True(replicated.Extended);

        quorum.Elect(2);
        var took = quorum.AdvanceUntil(() => !quorum[2].Service.Machine.Sessions.TryGet(guest, out _), 2 * Timeout);

        Assert.InRange(took, Timeout / 4, (Timeout / 2) + (3 * Tick));
    }

    private static long OpenGuest(FakeQuorum quorum, int member)
    {
        Propose(quorum,
            SessionCommand.Open((int)Timeout.TotalMilliseconds, new MemberId(member), null, new byte[SessionCommand.PasswordLength]));
        return quorum[1].Service.Machine.Sessions.All.Single(s => s.Host is null).Id;
    }

    private static void Propose(FakeQuorum quorum, ReadOnlyMemory<byte> command)
    {
        quorum[1].Propose("znodes", command, null);
        quorum.Run();
    }

    [Fact]
    public void A_session_that_fails_when_the_member_stops_keeps_no_other_and_none_of_its_own_calls_from_being_told()
    {
        var quorum = new FakeQuorum(3);
        var keeper = quorum[3].Service.Keeper;
        var next = quorum.Open(3);
        quorum.LoseLeader();
        var failing = new LocalSession(keeper, Timeout, quorum[3]);
        keeper.Add(failing);
        failing.Watch(new Failing(failing), "/a", WatchMode.Persistent);
        var calling = new ZnodeSession(failing).GetAsync("/a");
        quorum.Run();

        var thrown = Assert.Throws<InvalidOperationException>(quorum[3].Kill);

        Assert.Equal("told", thrown.Message);
        while (quorum[3].Scheduler.RunOne())
        {
        }
        Assert.True(next.Expired.IsCancellationRequested);
        Assert.True(failing.IsEnded);
        Assert.True(calling.IsFaulted, $"The call is {calling.Status}.");
    }

    private sealed class Failing(LocalSession session) : ISessionWatcher
    {
        public object Owner => session;

        public void Notify(in WatchEvent watchEvent)
        {
        }

        public void SessionEnded() => throw new InvalidOperationException("told");
    }
}
