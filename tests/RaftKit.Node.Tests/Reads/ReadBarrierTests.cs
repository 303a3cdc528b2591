using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Reads;
using Xunit;

namespace RaftKit.Node.Tests.Reads;

public sealed class ReadBarrierTests : IEntryReader, ILeaseClock
{
    private static readonly TimeSpan LeaseEnd = TimeSpan.FromHours(1) + TimeSpan.FromMilliseconds(100);

    private static readonly Term Term = new(4);

    private readonly ReadBarrier _reads;
    private readonly RaftCore _core;

    public ReadBarrierTests()
    {
        _reads = new ReadBarrier(new MemberId(1), this, TimeSpan.FromMilliseconds(20), clockDrift: 0.1);
        var members = new Membership([new MemberIncarnation(new MemberId(1), 1), new MemberIncarnation(new MemberId(2), 1)], [], []);
        _core = new RaftCore(
            new RaftCoreOptions { Self = new MemberId(1), Seed = 1 },
            new RestoredState(new Term(1), MemberId.None, members, LogIndex.Zero, null, []), this);
    }

    public TimeSpan Now { get; private set; } = TimeSpan.FromHours(1);

    [Fact]
    public void Readers_that_gave_up_are_forgotten_though_there_is_no_leader()
    {
        var patient = new Reader();
        _reads.Add(patient);
        for (var i = 0; i < 1000; i++)
            _reads.Add(new Reader { IsAbandoned = true }, Anything(i));

        _reads.Tick();

        Assert.Equal(1, _reads.Count);
        _reads.FailAll("The end.", tell => tell());
        Assert.Equal("The end.", patient.Failure);
        Assert.Equal(0, _reads.Count);
    }

    [Fact]
    public void A_reader_that_is_told_of_the_end_and_asks_again_at_once_is_told_again()
    {
        var next = new Reader();
        _reads.Add(new Reader { Then = () => _reads.Add(next) });
        _reads.Add(new Reader());

        _reads.FailAll("The end.", tell => tell());

        Assert.Equal("The end.", next.Failure);
        Assert.Equal(0, _reads.Count);
    }

    [Fact]
    public void An_answer_by_lease_is_worth_nothing_if_the_lease_ran_out_while_it_was_read()
    {
        var reader = new Reader();
        // The process is stopped in the middle of the query.
        reader.Reading = () => Now = reader.Readings == 1 ? LeaseEnd : Now;
        _reads.Add(reader, ReadConsistency.LinearizableByLease);
        _reads.Ask(_core);

        _reads.Granted(new ReadGrant(1, new LogIndex(5), Refused: false, ByLease: true), leads: true);
        _reads.AppliedTo(new LogIndex(5), Term, 5, LeaseEnd);
        Assert.Equal(1, reader.Readings);
        Assert.Null(reader.Point);

        // A quorum is asked instead, and it reads again.
        _reads.Ask(_core);
        _reads.Granted(new ReadGrant(2, new LogIndex(6), Refused: false), leads: true);
        _reads.AppliedTo(new LogIndex(5), Term, 5, LeaseEnd);
        Assert.Null(reader.Point);
        _reads.AppliedTo(new LogIndex(6), Term, 6, LeaseEnd);
        Assert.Equal(new ReadPoint(ReadGuarantee.ReadIndex, 6, TimeSpan.Zero), reader.Point);
        Assert.Equal(2, reader.Readings);
    }

    [Fact]
    public void An_answer_by_lease_stands_while_the_lease_holds_and_one_of_the_leaders_lease_does_not_ask_for_ones_own()
    {
        var own = new Reader();
        var leaders = new Reader();
        _reads.Add(own, ReadConsistency.LinearizableByLease);
        _reads.Ask(_core);
        _reads.Granted(new ReadGrant(1, new LogIndex(5), Refused: false, ByLease: true), leads: true);
        _reads.AppliedTo(new LogIndex(5), Term, 5, LeaseEnd);
        _reads.Add(leaders, ReadConsistency.LinearizableByLease);
        _reads.Ask(_core);
        _reads.Granted(new ReadGrant(2, new LogIndex(5), Refused: false, ByLease: true), leads: false);
        _reads.AppliedTo(new LogIndex(5), Term, 5, TimeSpan.MinValue);

        Assert.Equal(new ReadPoint(ReadGuarantee.Lease, 5, TimeSpan.Zero), own.Point);
        Assert.Equal(new ReadPoint(ReadGuarantee.Lease, 5, TimeSpan.Zero), leaders.Point);
        Assert.Equal(0, _reads.Count);
    }

    [Fact]
    public void A_bounded_read_is_answered_at_once_while_the_copy_was_confirmed_within_the_bound_and_says_how_far_it_may_be_behind()
    {
        Confirm();
        Pass(45);
        var reader = new Reader();
        _reads.Add(reader, ReadConsistency.AtMostBehind(TimeSpan.FromMilliseconds(50)));
        _reads.AppliedTo(new LogIndex(5), Term, 5, TimeSpan.MinValue);

        // 45 ms on a clock that may be slow by a tenth are 50.
        Assert.Equal(new ReadPoint(ReadGuarantee.BoundedStaleness, 5, TimeSpan.FromMilliseconds(50)), reader.Point);
    }

    [Fact]
    public void A_bounded_read_that_nobody_can_confirm_fails_after_the_bound_and_says_how_far_behind_the_copy_may_be()
    {
        Confirm();
        Pass(90);
        var reader = new Reader();
        _reads.Add(reader, ReadConsistency.AtMostBehind(TimeSpan.FromMilliseconds(50)));
        _reads.AppliedTo(new LogIndex(5), Term, 5, TimeSpan.MinValue);
        _reads.Tick();
        Assert.Null(reader.Stale);

        Pass(50);
        _reads.Tick();
        Assert.Equal(TimeSpan.FromMilliseconds(140) / 0.9, reader.Stale!.Behind);
        Assert.Equal(TimeSpan.FromMilliseconds(50), reader.Stale.Bound);
        Assert.Contains("156 ms behind", reader.Stale.Message);
        Assert.Equal(0, reader.Readings);
        Assert.Equal(0, _reads.Count);
    }

    [Fact]
    public void A_bounded_read_asks_for_a_confirmation_by_itself()
    {
        var reader = new Reader();
        _reads.Add(reader, ReadConsistency.AtMostBehind(TimeSpan.FromMilliseconds(50)));
        _reads.AppliedTo(new LogIndex(5), Term, 5, TimeSpan.MinValue);
        _reads.Ask(_core);
        Pass(9);
        _reads.Granted(new ReadGrant(1, new LogIndex(5), Refused: false), leads: false);
        _reads.AppliedTo(new LogIndex(5), Term, 5, TimeSpan.MinValue);

        Assert.Equal(TimeSpan.FromMilliseconds(10), reader.Point?.Behind);
    }

    [Fact]
    public void A_bounded_read_whose_bound_ran_out_while_it_was_read_is_not_answered_by_that_reading()
    {
        Confirm();
        var reader = new Reader();
        reader.Reading = () => Pass(60);
        _reads.Add(reader, ReadConsistency.AtMostBehind(TimeSpan.FromMilliseconds(50)));
        _reads.AppliedTo(new LogIndex(5), Term, 5, TimeSpan.MinValue);

        Assert.Equal(1, reader.Readings);
        Assert.Null(reader.Point);
    }

    [Fact]
    public void A_copy_of_what_a_forced_quorum_gave_up_answers_no_linearizable_read_however_far_it_reaches()
    {
        var reader = new Reader();
        _reads.Add(reader);
        _reads.Ask(_core);
        _reads.Granted(new ReadGrant(1, new LogIndex(5), Refused: false, Term: new Term(9)), leads: false);

        // It gets there only after the answer came, by what was given up.
        _reads.AppliedTo(new LogIndex(4), Term, 4, TimeSpan.MinValue);
        _reads.AppliedTo(new LogIndex(6), Term, 6, TimeSpan.MinValue);
        Assert.Equal(0, reader.Readings);

        // Nor was its state confirmed by that.
        var stale = new Reader();
        _reads.Add(stale, ReadConsistency.AtMostBehind(TimeSpan.FromMinutes(1)));
        _reads.AppliedTo(new LogIndex(6), Term, 6, TimeSpan.MinValue);
        Assert.Null(stale.Point);

        _reads.Tick();
        _reads.Ask(_core);
        _reads.Granted(new ReadGrant(2, new LogIndex(7), Refused: false, Term: new Term(9)), leads: false);
        _reads.AppliedTo(new LogIndex(7), new Term(9), 7, TimeSpan.MinValue);
        Assert.Equal(new ReadPoint(ReadGuarantee.ReadIndex, 7, TimeSpan.Zero), reader.Point);
        Assert.NotNull(stale.Point);
    }

    [Fact]
    public void A_sessions_read_waits_until_what_it_has_seen_is_applied()
    {
        var session = new ReadSession(7);
        session.Advance(3);
        var reader = new Reader();
        _reads.Add(reader, ReadConsistency.Session(session));
        _reads.AppliedTo(new LogIndex(6), Term, 6, TimeSpan.MinValue);
        Assert.Null(reader.Point);

        _reads.AppliedTo(new LogIndex(8), Term, 8, TimeSpan.MinValue);
        Assert.Equal(new ReadPoint(ReadGuarantee.Session, 8, null), reader.Point);
    }

    [Fact]
    public void A_bound_that_is_none_is_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => ReadConsistency.AtMostBehind(TimeSpan.Zero));
        Assert.Throws<ArgumentOutOfRangeException>(() => ReadConsistency.AtMostBehind(TimeSpan.FromDays(2)));
    }

    void IEntryReader.Read(LogIndex from, LogIndex last, int maxBytes, List<Entry> into) => Assert.Fail("Its log is empty.");

    private static ReadConsistency Anything(int i) => (i % 4) switch
    {
        0 => ReadConsistency.Linearizable,
        1 => ReadConsistency.LinearizableByLease,
        2 => ReadConsistency.Session(new ReadSession(9)),
        _ => ReadConsistency.AtMostBehind(TimeSpan.FromSeconds(1)),
    };

    private void Pass(int milliseconds) => Now += TimeSpan.FromMilliseconds(milliseconds);

    private void Confirm()
    {
        _reads.Add(new Reader());
        _reads.Ask(_core);
        _reads.Granted(new ReadGrant(1, new LogIndex(5), Refused: false), leads: false);
        _reads.AppliedTo(new LogIndex(5), Term, 5, TimeSpan.MinValue);
        Assert.Equal(0, _reads.Count);
    }

    private sealed class Reader : IReadCallback
    {
        public bool IsAbandoned { get; init; }

        public string? Failure { get; private set; }

        public Action? Then { get; init; }

        public Action? Reading { get; set; }

        public int Readings { get; private set; }

        public ReadPoint? Point { get; private set; }

        public StaleReadException? Stale { get; private set; }

        public void Read()
        {
            Readings++;
            Reading?.Invoke();
        }

        public void Ready() => Assert.Fail("It was not told what its answer is worth.");

        public void Ready(in ReadPoint point) => Point = point;

        public void TooStale(StaleReadException why) => Stale = why;

        public void Failed(string reason)
        {
            Assert.False(IsAbandoned, "It was told though it gave up long before.");
            Failure = reason;
            Then?.Invoke();
        }
    }
}
