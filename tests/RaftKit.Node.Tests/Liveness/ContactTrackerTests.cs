using RaftKit.Consensus;
using RaftKit.Node.Liveness;

namespace RaftKit.Node.Tests.Liveness;

/// <summary>Promise 5, clause by clause, with explicit time. A contact named n has a timeout of 4000 ms unless said otherwise.</summary>
public sealed class ContactTrackerTests
{
    private static readonly MemberId Here = new(1), There = new(2);

    private readonly ContactTracker<int> _tracker = new();
    private readonly List<int> _overdue = [];
    private readonly List<ContactCheckpoint<int>> _checkpoints = [];
    private int _now;

    public ContactTrackerTests() => _tracker.Begin(At(0));

    [Fact]
    public void A_contact_is_overdue_once_its_whole_timeout_passed_in_silence_and_not_before()
    {
        Track(1);
        TickTo(10);
        TickTo(4009);
        Assert.Empty(_overdue);
        TickTo(4010);
        Assert.Equal([1], _overdue);
    }

    [Fact]
    public void A_contact_heard_before_a_tick_has_its_whole_timeout_from_that_tick()
    {
        Track(1);
        TickTo(10);
        TickTo(3990);
        Assert.Equal(ContactVerdict.Known, _tracker.Heard(1));
        TickTo(4020);
        TickTo(8019);
        Assert.Empty(_overdue);
        TickTo(8020);
        Assert.Equal([1], _overdue);
    }

    [Fact]
    public void A_keepalive_that_arrived_before_a_late_tick_counts_before_anybody_is_judged()
    {
        Track(1);
        Track(2);
        TickTo(10);
        _tracker.Heard(1);
        TickTo(5000);
        Assert.Equal([2], _overdue);
    }

    [Fact]
    public void A_late_tick_extends_every_deadline_by_its_lateness()
    {
        Track(1);
        TickTo(10);
        TickTo(3000);
        TickTo(63_020, lateness: 60_000);
        TickTo(64_009);
        Assert.Empty(_overdue);
        TickTo(64_010);
        Assert.Equal([1], _overdue);
    }

    [Fact]
    public void Lateness_beyond_the_time_that_passed_takes_nothing_back()
    {
        Track(1);
        TickTo(10);
        TickTo(20, lateness: 1000);
        TickTo(4019);
        Assert.Empty(_overdue);
        TickTo(4020);
        Assert.Equal([1], _overdue);
    }

    [Fact]
    public void An_overdue_contact_comes_again_until_its_end_is_proposed()
    {
        Track(1);
        TickTo(10);
        TickTo(4010);
        TickTo(4020);
        Assert.Equal([1, 1], _overdue);
        _tracker.Condemn(1);
        TickTo(4030);
        TickTo(9000);
        Assert.Equal([1, 1], _overdue);
        Assert.True(_tracker.IsCondemned(1));
    }

    [Fact]
    public void A_condemned_contact_is_not_answered_and_one_that_is_spared_starts_fresh()
    {
        Track(1);
        TickTo(10);
        TickTo(4010);
        _tracker.Condemn(1);
        Assert.Equal(ContactVerdict.Condemned, _tracker.Heard(1));
        Assert.False(_tracker.MayAnswer(1));

        TickTo(5000);
        _tracker.Pardon(1);
        Assert.True(_tracker.MayAnswer(1));
        _overdue.Clear();
        TickTo(5010);
        TickTo(9009);
        Assert.Empty(_overdue);
        TickTo(9010);
        Assert.Equal([1], _overdue);
    }

    [Fact]
    public void Nobody_answers_for_a_stranger_or_for_one_that_was_forgotten()
    {
        Assert.Equal(ContactVerdict.Unknown, _tracker.Heard(9));
        Assert.False(_tracker.MayAnswer(9));
        Track(1);
        TickTo(10);
        _tracker.Forget(1);
        Assert.Equal(ContactVerdict.Unknown, _tracker.Heard(1));
        TickTo(10_000);
        Assert.Empty(_overdue);
    }

    [Fact]
    public void Silence_is_to_be_logged_each_quarter_of_the_timeout()
    {
        Track(1);
        TickTo(10);
        var logged = new List<int>();
        for (var at = 20; at < 4010; at += 10)
        {
            TickTo(at);
            foreach (var checkpoint in _checkpoints)
            {
                logged.Add((int)checkpoint.Silence.Spent.TotalMilliseconds);
                Propose(checkpoint);
                Apply(1, checkpoint.Silence);
            }
            _checkpoints.Clear();
        }
        Assert.Equal([1000, 2000, 3000], logged);
    }

    [Fact]
    public void A_contact_heard_more_often_than_each_quarter_costs_the_log_nothing()
    {
        Track(1);
        for (var at = 10; at < 60_000; at += 10)
        {
            if (at % 660 == 0)
                _tracker.Heard(1);
            TickTo(at);
        }
        Assert.Empty(_checkpoints);
        Assert.Empty(_overdue);
    }

    [Fact]
    public void A_checkpoint_that_could_not_be_proposed_comes_again()
    {
        Track(1);
        TickTo(10);
        TickTo(1010);
        TickTo(1020);
        Assert.Equal([1000, 1010], _checkpoints.Select(c => (int)c.Silence.Spent.TotalMilliseconds));
    }

    [Fact]
    public void A_contact_whose_silence_is_logged_is_answered_only_after_the_log_says_otherwise()
    {
        Track(1);
        TickTo(10);
        TickTo(1010);
        Propose(_checkpoints.Single());

        // The checkpoint is only on its way, but a next leader may come to know of it.
        Assert.False(_tracker.MayAnswer(1));
        Assert.Equal(ContactVerdict.NeedsReset, _tracker.Heard(1));
        _tracker.CheckpointProposed(1, default);
        Assert.Equal(ContactVerdict.Resetting, _tracker.Heard(1));
        Apply(1, Spent(1000));
        Assert.False(_tracker.MayAnswer(1));
        Apply(1, default);
        Assert.True(_tracker.MayAnswer(1));
        Assert.Equal(ContactVerdict.Known, _tracker.Heard(1));
    }

    [Fact]
    public void Silence_after_a_reset_was_proposed_is_logged_anew_and_needs_a_reset_anew()
    {
        _tracker.TakeOver(1, Terms(), Spent(1000));
        TickTo(10);
        Assert.Equal(ContactVerdict.NeedsReset, _tracker.Heard(1));
        _tracker.CheckpointProposed(1, default);
        TickTo(20);
        TickTo(1020);
        Propose(_checkpoints.Single());
        Assert.Equal(ContactVerdict.NeedsReset, _tracker.Heard(1));
        Apply(1, default);
        Assert.False(_tracker.MayAnswer(1));
        Apply(1, Spent(1000));
        Assert.False(_tracker.MayAnswer(1));
    }

    [Fact]
    public void A_command_of_the_contact_is_contact_and_clears_what_the_log_says()
    {
        _tracker.TakeOver(1, Terms(), Spent(3000));
        TickTo(10);
        Assert.False(_tracker.MayAnswer(1));
        _tracker.Active(1);
        Assert.True(_tracker.MayAnswer(1));
        TickTo(20);
        TickTo(4010);
        Assert.Empty(_overdue);
        TickTo(4020);
        Assert.Equal([1], _overdue);
    }

    [Theory]
    [InlineData(0, 4000)]
    [InlineData(1000, 3000)]
    [InlineData(2999, 1001)]
    [InlineData(3500, 1000)]
    [InlineData(4000, 1000)]
    public void A_new_leader_waits_for_what_is_left_by_the_log_but_for_a_grace_at_the_least(int spent, int waits)
    {
        _tracker.TakeOver(1, Terms(), Spent(spent));
        TickTo(waits - 1);
        Assert.Empty(_overdue);
        TickTo(waits);
        Assert.Equal([1], _overdue);
    }

    [Fact]
    public void Each_leadership_starts_anew()
    {
        Track(1);
        TickTo(3000);
        _tracker.Begin(At(3000));
        Assert.Equal(0, _tracker.Count);
        _tracker.TakeOver(1, Terms(), default);
        TickTo(6999);
        Assert.Empty(_overdue);
        TickTo(7000);
        Assert.Equal([1], _overdue);
    }

    [Fact]
    public void What_is_attached_through_a_member_whose_link_broke_gets_one_whole_timeout_once()
    {
        _tracker.Track(1, Terms(There));
        _tracker.Track(2, Terms(Here));
        TickTo(10);
        TickTo(3000);
        _tracker.MemberHeard(Here);
        _tracker.MemberLost(There);
        TickTo(4010);
        Assert.Equal([2], _overdue);
        _tracker.MemberLost(There);
        _tracker.Forget(2);
        _overdue.Clear();
        TickTo(6999);
        Assert.Empty(_overdue);
        TickTo(7000);
        Assert.Equal([1], _overdue);
    }

    [Fact]
    public void What_is_attached_through_a_member_that_fell_silent_gets_one_whole_timeout_once_and_the_log_hears_of_it()
    {
        _tracker.Track(1, Terms(There));
        TickTo(10);
        TickTo(4010);
        Assert.Empty(_overdue);
        var extension = _checkpoints[^1];
        Assert.True(extension.Silence.Extended);
        TickTo(8009);
        Assert.Empty(_overdue);
        TickTo(8010);
        Assert.Equal([1], _overdue);
    }

    [Fact]
    public void A_new_leader_gives_no_second_extension()
    {
        _tracker.TakeOver(1, Terms(There), new ContactSilence(TimeSpan.FromMilliseconds(1000), Extended: true));
        _tracker.MemberLost(There);
        TickTo(3000);
        Assert.Equal([1], _overdue);
    }

    [Fact]
    public void A_contact_that_cannot_move_gets_no_extension()
    {
        _tracker.Track(1, Terms(There) with { MayMove = false });
        TickTo(10);
        TickTo(3000);
        _tracker.MemberLost(There);
        TickTo(4010);
        Assert.Equal([1], _overdue);
    }

    [Fact]
    public void A_contact_that_re_attached_is_judged_by_its_new_member()
    {
        _tracker.Track(1, Terms(There));
        TickTo(10);
        TickTo(4010);
        _tracker.Moved(1, Here);
        TickTo(4020);
        TickTo(8000);
        _tracker.MemberHeard(Here);
        TickTo(8020);
        Assert.Equal([1], _overdue);
    }

    [Fact]
    public void Being_heard_again_gives_the_extension_back()
    {
        _tracker.Track(1, Terms(There));
        TickTo(10);
        _tracker.MemberLost(There);
        TickTo(20);
        foreach (var checkpoint in _checkpoints)
            Propose(checkpoint);
        Apply(1, new ContactSilence(TimeSpan.Zero, Extended: true));
        Assert.Equal(ContactVerdict.NeedsReset, _tracker.Heard(1));
        _tracker.CheckpointProposed(1, default);
        Apply(1, default);
        TickTo(30);
        TickTo(4030);
        Assert.Empty(_overdue);
        TickTo(8030);
        Assert.Equal([1], _overdue);
    }

    [Fact]
    public void Many_contacts_are_judged_each_by_its_own_timeout()
    {
        var random = new Random(7);
        var timeouts = Enumerable.Range(0, 500).Select(_ => random.Next(50, 20_000)).ToArray();
        for (var i = 0; i < timeouts.Length; i++)
            _tracker.Track(i, Terms() with { Timeout = TimeSpan.FromMilliseconds(timeouts[i]) });
        TickTo(10);
        var ended = new int[timeouts.Length];
        for (var at = 20; at <= 20_020; at += 10)
        {
            _tracker.MemberHeard(Here);
            TickTo(at);
            foreach (var id in _overdue)
            {
                ended[id] = at;
                _tracker.Forget(id);
            }
            _overdue.Clear();
            foreach (var checkpoint in _checkpoints)
                Propose(checkpoint);
            _checkpoints.Clear();
        }
        for (var i = 0; i < timeouts.Length; i++)
            Assert.InRange(ended[i], timeouts[i] + 10, timeouts[i] + 20);
    }

    private static TimeSpan At(int milliseconds) => TimeSpan.FromMilliseconds(milliseconds);

    private static ContactSilence Spent(int milliseconds) => new(At(milliseconds), false);

    private static ContactTerms Terms(MemberId? via = null) => new(At(4000), via ?? Here, MayMove: via is not null);

    private void Track(int id) => _tracker.Track(id, Terms());

    private void Propose(ContactCheckpoint<int> checkpoint) => _tracker.CheckpointProposed(checkpoint.Id, checkpoint.Silence);

    private void Apply(int id, ContactSilence logged) => _tracker.CheckpointApplied(id, logged);

    private void TickTo(int now, int lateness = 0)
    {
        Assert.True(now >= _now);
        _now = now;
        _tracker.Advance(At(now), At(lateness), _overdue, _checkpoints);
    }
}
