using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Members;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Members;

/// <summary>A member that lost or rolled back its disk is kept out under the identity it had (DESIGN, promise 4).</summary>
public sealed class PeerLinksTests
{
    private static readonly Guid Cluster = Guid.Parse("11111111-2222-3333-4444-555555555555");
    private static readonly Membership Members = new([new(new MemberId(1), 1), new(new MemberId(2), 2)], [], []);
    private static readonly PeerMessage Message = new PeerMessage.Channel(1, default);

    private readonly PeerLinks _links = new();
    private readonly List<PeerMessage> _delivered = [];

    [Fact]
    public void A_start_is_heard_only_once_it_is_remembered_durably()
    {
        Assert.Null(Up(1, Hello(2, 2, 5)));
        Assert.Equal(Admission.Waiting, _links.Pass(1, Message));
        var boots = _links.TakeBootsToRemember();
        Assert.Equal([new PeerBoot(new MemberId(2), 2, 5)], boots);
        Assert.Empty(_delivered);

        _links.Remembered(boots, (_, message) => _delivered.Add(message));

        Assert.Single(_delivered);
        Assert.Equal(Admission.Admitted, _links.Pass(1, Message));
    }

    [Fact]
    public void A_known_start_is_heard_at_once_when_its_link_is_made_again()
    {
        Remember(2, 2, 5);
        Assert.Null(Up(1, Hello(2, 2, 5)));
        Assert.Equal(Admission.Admitted, _links.Pass(1, Message));
        Assert.False(_links.HasBootsToRemember);
    }

    [Fact]
    public void An_observer_is_heard_at_once_and_leaves_nothing_on_the_disk()
    {
        Assert.Null(Up(1, Hello(300, 1, 5)));
        Assert.Equal(Admission.Admitted, _links.Pass(1, Message));
        Assert.False(_links.HasBootsToRemember);
    }

    [Fact]
    public void An_older_start_than_one_that_was_seen_is_a_rolled_back_disk()
    {
        Remember(2, 2, 5);
        var reason = Up(1, Hello(2, 2, 4));
        Assert.Contains("boot 5", reason, StringComparison.Ordinal);
        Assert.Contains("old copy", reason, StringComparison.Ordinal);
        Assert.Equal(Admission.Refused, _links.Pass(1, Message));
    }

    [Fact]
    public void An_incarnation_that_was_replaced_is_refused()
    {
        Assert.Contains("replaced by incarnation 2", Up(1, Hello(2, 1, 9)), StringComparison.Ordinal);
    }

    [Fact]
    public void A_link_of_an_incarnation_that_is_replaced_meanwhile_is_outdated()
    {
        Up(1, Hello(2, 2, 5));
        Assert.Empty(_links.Outdated(Members));
        var next = new Membership([new(new MemberId(1), 1)], [new(new MemberId(2), 3)], []);
        Assert.Equal([1L], _links.Outdated(next).Select(o => o.Link));
    }

    [Fact]
    public void Another_clusters_member_is_refused()
    {
        var reason = Up(1, Hello(2, 2, 5) with { ClusterId = Guid.NewGuid() });
        Assert.Contains(Cluster.ToString(), reason, StringComparison.Ordinal);
    }

    [Fact]
    public void A_member_without_an_identity_is_linked_and_never_heard()
    {
        Assert.Null(Up(1, Hello(2, 0, 0)));
        Assert.Equal(Admission.Waiting, _links.Pass(1, Message));
        Assert.False(_links.HasBootsToRemember);
    }

    [Fact]
    public void The_end_of_an_old_link_does_not_end_the_new_one()
    {
        Remember(2, 2, 5);
        Up(1, Hello(2, 2, 5));
        Up(2, Hello(2, 2, 5));
        _links.Down(1);
        Assert.True(_links.IsUp(new MemberId(2)));
        Assert.Equal(Admission.Admitted, _links.Pass(2, Message));
        _links.Down(2);
        Assert.False(_links.IsUp(new MemberId(2)));
    }

    [Fact]
    public void A_later_start_whose_log_ended_before_what_this_member_was_told_is_an_old_copy_of_the_same_boot()
    {
        Up(1, Hello(2, 2, 5));
        Say(1, 40);
        Say(1, 39);
        _links.Down(1);

        var refusal = _links.Up(2, Hello(2, 2, 6) with { RunEnds = new RunEnds([new(5, 39)]) }, Cluster, Members);

        Assert.True(refusal!.IsRolledBack);
        Assert.Contains("boot 5 ended with batch 39", refusal.Reason, StringComparison.Ordinal);
        Assert.Contains("batch 40 was on its disk", refusal.Reason, StringComparison.Ordinal);
        Assert.Equal(Admission.Refused, _links.Pass(2, Message));
        Assert.Equal(new PeerMessage.StartJudged(2, 6, refusal.Reason), _links.VerdictOn(2));
        _links.Down(2);
        Assert.Null(_links.VerdictOn(2));
    }

    [Fact]
    public void A_life_of_before_a_forced_quorum_that_the_log_never_gave_is_left_behind()
    {
        _links.Recovery = new RecoveryEpoch(1, []);
        _links.LastLifeOf = id => id.Value == 2 ? 2 : 0;

        Assert.Null(Up(1, Hello(2, 2, 5)));
        Assert.Contains("recovery epoch 1", Up(2, Hello(9, 1, 1)), StringComparison.Ordinal);
        Assert.Null(Up(3, Hello(9, RecoveryEpoch.LivesOfEpoch + 1, 1)));
        Assert.Null(Up(4, Hello(300, 1, 1)));
    }

    [Fact]
    public void An_observers_start_below_one_that_was_seen_is_of_an_old_copy()
    {
        Up(1, Hello(256, 2, 500));
        _links.Down(1);

        var refusal = _links.Up(2, Hello(256, 2, 499), Cluster, Members);

        Assert.True(refusal!.IsRolledBack);
        Assert.Contains("but boot 500 of it was seen", refusal.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void An_old_copy_is_known_however_often_it_was_started_since()
    {
        Up(1, Hello(2, 2, 5));
        Say(1, 40);
        Assert.Contains(
            "old copy", Up(2, Hello(2, 2, 8) with { RunEnds = new RunEnds([new(5, 39), new(6, 90), new(7, 95)]) }),
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_start_that_holds_all_that_was_told_is_none_and_nor_is_a_new_incarnation()
    {
        Up(1, Hello(2, 2, 5));
        Say(1, 40);
        Assert.Null(Up(2, Hello(2, 2, 6) with { RunEnds = new RunEnds([new(5, 40)]) }));
        Say(2, 45);
        Assert.Null(Up(3, Hello(2, 3, 1)));
    }

    [Fact]
    public void Another_process_of_the_same_boot_is_of_a_copy_from_before_that_start()
    {
        Up(1, Hello(2, 2, 5));
        Assert.Null(Up(2, Hello(2, 2, 5)));
        Assert.Contains(
            "another process", Up(3, Hello(2, 2, 5) with { Process = new HostProcess("b", 1, 2, 4) }), StringComparison.Ordinal);
        Assert.Null(Up(4, Hello(2, 2, 5) with { Process = HostProcess.Unknown }));
    }

    [Fact]
    public void A_past_that_is_told_differently_is_another_copys()
    {
        Up(1, Hello(2, 2, 5) with { RunEnds = new RunEnds([new(3, 10), new(4, 20)]) });
        Assert.Null(Up(2, Hello(2, 2, 6) with { RunEnds = new RunEnds([new(4, 20), new(5, 20)]) }));
        Assert.Contains(
            "boot 4 ended with batch 19", Up(3, Hello(2, 2, 7) with { RunEnds = new RunEnds([new(4, 19), new(5, 30)]) }),
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_life_that_was_seen_is_remembered_and_so_are_those_before_it()
    {
        Up(1, Hello(2, 2, 5));
        Assert.True(_links.Remembers(new MemberIncarnation(new(2), 2)));
        Assert.True(_links.Remembers(new MemberIncarnation(new(2), 1)));
        Assert.False(_links.Remembers(new MemberIncarnation(new(2), 3)));
    }

    private static PeerHello Hello(int member, int incarnation, long boot) =>
        new(Cluster, new MemberId(member), incarnation, boot, "127.0.0.1:1", new HostProcess("b", 1, 2, 3));

    private string? Up(long link, PeerHello hello) => _links.Up(link, hello, Cluster, Members)?.Reason;

    private void Say(long link, long durableBatch) =>
        _links.Pass(link, new PeerMessage.Raft(new TimeoutNow { From = new(2), To = new(1), Term = new(1) }, durableBatch));

    private void Remember(int member, int incarnation, long boot) =>
        _links.Restore([new PeerBoot(new MemberId(member), incarnation, boot)]);
}
