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

    private static PeerHello Hello(int member, int incarnation, long boot) =>
        new(Cluster, new MemberId(member), incarnation, boot, "127.0.0.1:1", new HostProcess("b", 1, 2, 3));

    private string? Up(long link, PeerHello hello) => _links.Up(link, hello, Cluster, Members);

    private void Remember(int member, int incarnation, long boot) => _links.Restore([new PeerBoot(new MemberId(member), incarnation, boot)]);
}
