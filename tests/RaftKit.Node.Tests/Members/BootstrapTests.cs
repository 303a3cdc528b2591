using RaftKit.Consensus;
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

    // Found by the simulator (seed 113 of 60 s): two members that had each lost their disk, configured with nobody but each other, formed a quorum of their own.
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
    public void A_stranger_that_is_empty_as_well_is_not_counted()
    {
        Answer(2, BootstrapState.Empty);
        Answer(9, BootstrapState.Empty);
        Assert.Equal(BootstrapStep.Wait, _bootstrap.Decide());
    }

    private void Answer(int from, BootstrapState state) =>
        _bootstrap.Answered(new MemberId(from), new PeerMessage.BootstrapAnswer(state, Guid.Empty, Three));
}
