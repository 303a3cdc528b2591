using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Members;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Members;

/// <summary>An empty directory forms a cluster only when everybody says "empty" with the same list (DESIGN, promise 4).</summary>
public sealed class BootstrapTests
{
    private static readonly MemberId[] Three = [new(1), new(2), new(3)];

    private readonly Bootstrap _bootstrap = new(new MemberId(1), Three, force: false);

    [Fact]
    public void A_single_configured_member_forms_at_once() =>
        Assert.Equal(BootstrapStep.Form, new Bootstrap(new MemberId(7), [new MemberId(7)], false).Decide());

    [Fact]
    public void Nobody_forms_before_every_member_answered()
    {
        Answer(2, BootstrapState.Empty);
        Assert.Equal(BootstrapStep.Wait, _bootstrap.Decide());
        Assert.Contains("members 3", _bootstrap.Waiting, StringComparison.Ordinal);
        Answer(3, BootstrapState.Empty);
        Assert.Equal(BootstrapStep.Form, _bootstrap.Decide());
    }

    [Fact]
    public void A_founder_that_is_late_still_forms()
    {
        Answer(2, BootstrapState.Forming);
        Answer(3, BootstrapState.Empty);
        Assert.Equal(BootstrapStep.Form, _bootstrap.Decide());
    }

    [Fact]
    public void One_member_that_knows_a_cluster_makes_it_a_join()
    {
        Answer(2, BootstrapState.Empty);
        Answer(3, BootstrapState.Formed);
        Assert.Equal(BootstrapStep.Join, _bootstrap.Decide());
        Assert.Equal(new MemberId(3), _bootstrap.Formed);
    }

    [Fact]
    public void Where_all_are_to_join_the_wait_says_that_nobody_founded()
    {
        var joins = new Bootstrap(new MemberId(1), Three, force: false, join: true);
        Assert.Equal(BootstrapStep.Wait, joins.Decide());
        Assert.DoesNotContain("without Join and AutoJoin", joins.Waiting, StringComparison.Ordinal);
        joins.Answered(new MemberId(2), new PeerMessage.BootstrapAnswer(BootstrapState.Empty, Guid.Empty, []));
        Assert.Equal(BootstrapStep.Wait, joins.Decide());
        Assert.EndsWith(
            "Reached so far: members 2, without a cluster as well. If there is none yet, start one of them without Join and AutoJoin: it founds it.", joins.Waiting, StringComparison.Ordinal);
    }

    [Fact]
    public void Different_lists_form_nothing_and_are_named()
    {
        _bootstrap.Answered(new MemberId(2), new PeerMessage.BootstrapAnswer(BootstrapState.Empty, Guid.Empty, [new(1), new(2)]));
        Answer(3, BootstrapState.Empty);
        Assert.Equal(BootstrapStep.Wait, _bootstrap.Decide());
        Assert.Contains("Member 2 is configured with members 1, 2", _bootstrap.Waiting, StringComparison.Ordinal);
    }

    [Fact]
    public void An_operator_may_force_it_without_the_silent_but_not_against_a_cluster()
    {
        var forced = new Bootstrap(new MemberId(1), Three, force: true);
        Assert.Equal(BootstrapStep.Form, forced.Decide());
        forced.Answered(new MemberId(2), new PeerMessage.BootstrapAnswer(BootstrapState.Formed, Guid.NewGuid(), Three));
        Assert.Equal(BootstrapStep.Join, forced.Decide());
    }

    // Found by the simulator (seed 113 of 60 s): two members that had each lost their disk, configured with nobody but each other, formed a
    // quorum of their own.
    [Fact]
    public void A_member_of_a_cluster_that_nobody_configured_makes_it_a_join_too()
    {
        Answer(7, BootstrapState.Formed);
        Answer(2, BootstrapState.Empty);
        Answer(3, BootstrapState.Empty);
        Assert.Equal(BootstrapStep.Join, _bootstrap.Decide());
        Assert.Equal(new MemberId(7), _bootstrap.Formed);
    }

    [Fact]
    public void Who_is_to_join_never_forms_though_everybody_whom_it_knows_is_empty()
    {
        var joining = new Bootstrap(new MemberId(1), [new(1), new(2)], force: false, join: true);
        joining.Answered(new MemberId(2), new PeerMessage.BootstrapAnswer(BootstrapState.Empty, Guid.Empty, [new(1), new(2)]));
        Assert.Equal(BootstrapStep.Wait, joining.Decide());
        Assert.Contains("cluster that this one is to join: it is told of members 2", joining.Waiting, StringComparison.Ordinal);
        Assert.Empty(joining.Configured);
    }

    [Fact]
    public void Nobody_forms_a_cluster_with_one_who_is_to_join_another()
    {
        _bootstrap.Answered(new MemberId(2), new PeerMessage.BootstrapAnswer(BootstrapState.Empty, Guid.Empty, []));
        Answer(3, BootstrapState.Empty);
        Assert.Equal(BootstrapStep.Wait, _bootstrap.Decide());
        Assert.Contains("Member 2 is to join a cluster that exists", _bootstrap.Waiting, StringComparison.Ordinal);
    }

    [Fact]
    public void A_hello_that_names_a_cluster_makes_it_a_join_before_its_sender_is_asked()
    {
        var cluster = Guid.NewGuid();
        _bootstrap.Linked(Hello(7, incarnation: 1, cluster));
        Answer(2, BootstrapState.Empty);
        Answer(3, BootstrapState.Empty);
        Assert.Equal(BootstrapStep.Join, _bootstrap.Decide());
        Assert.Contains($"Member 7 is of cluster {cluster}", _bootstrap.Waiting, StringComparison.Ordinal);
    }

    [Fact]
    public void An_observers_copy_of_a_cluster_makes_nothing_a_join()
    {
        _bootstrap.Linked(Hello(256, incarnation: 1, Guid.NewGuid()));
        // Whoever links is asked, observers too.
        Answer(256, BootstrapState.Formed);
        Answer(2, BootstrapState.Empty);
        Answer(3, BootstrapState.Empty);
        Assert.Equal(BootstrapStep.Form, _bootstrap.Decide());
    }

    [Fact]
    public void A_cluster_that_was_thrown_away_is_forgotten_once_the_member_that_told_of_it_is_empty()
    {
        Answer(7, BootstrapState.Formed);
        _bootstrap.Linked(Hello(3, incarnation: 1, Guid.NewGuid()));
        Answer(2, BootstrapState.Empty);
        Assert.Equal(BootstrapStep.Join, _bootstrap.Decide());

        Answer(7, BootstrapState.Empty);
        _bootstrap.Linked(Hello(3, incarnation: 0, Guid.Empty));
        Assert.Equal(BootstrapStep.Wait, _bootstrap.Decide());
        Answer(3, BootstrapState.Empty);
        Assert.Equal(BootstrapStep.Form, _bootstrap.Decide());
    }

    [Fact]
    public void An_empty_members_answer_outlives_its_link()
    {
        Answer(2, BootstrapState.Empty);
        Answer(3, BootstrapState.Empty);
        _bootstrap.Linked(Hello(3, incarnation: 0, Guid.Empty));
        Assert.Equal(BootstrapStep.Form, _bootstrap.Decide());
    }

    [Fact]
    public void A_stranger_that_is_empty_as_well_is_not_counted()
    {
        Answer(2, BootstrapState.Empty);
        Answer(9, BootstrapState.Empty);
        Assert.Equal(BootstrapStep.Wait, _bootstrap.Decide());
    }

    private static PeerHello Hello(int member, int incarnation, Guid cluster) =>
        new(cluster, new MemberId(member), incarnation, incarnation, "127.0.0.1:1", HostProcess.Unknown);

    private void Answer(int from, BootstrapState state) =>
        _bootstrap.Answered(new MemberId(from), new PeerMessage.BootstrapAnswer(state, Guid.Empty, Three));
}
