using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;
using RaftKit.Node.Tests.Liveness;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Transport;

public sealed class ObserverLinkTests
{
    private static readonly TcpTransportOptions ListensNowhere = new() { Listen = "" };

    [Fact]
    public async Task An_observer_dials_a_member_that_knows_nothing_of_it_and_both_are_heard()
    {
        await using var member = new TestMember(1);
        await using var observer = new TestMember(256, ListensNowhere);
        member.Join((new(2), "127.0.0.1:1"));
        observer.Join(member);
        Assert.Equal("", (await member.LinkUp()).Hello.Endpoint);
        await observer.LinkUp();
        observer.Send(member.Id, new PeerMessage.Raft(Ask(last: 100_000)));
        var asked = (ObserveRequest)((PeerMessage.Raft)(await member.Inbox.Expect<NodeInput.Received>()).Message).Message;
        Assert.Equal((observer.Id, 100_000L), (asked.From, asked.LastIndex.Value));
        for (var i = 0; i < 100; i++)
            member.Send(observer.Id, new PeerMessage.Channel(1, Samples.Bytes(5000, (byte)i)));
        await observer.Inbox.Expect<NodeInput.Received>(r =>
            r.Message is PeerMessage.Channel { Payload: var payload } && payload.Span[0] == 99);
        Assert.Equal(100, observer.Inbox.All.OfType<NodeInput.Received>().Count());

        // Who the members are changes: nobody asks an observer's leave, and its link stays.
        member.Transport.SetPeers(new Dictionary<MemberId, string> { [new(3)] = "127.0.0.1:1" });
        observer.Send(member.Id, new PeerMessage.Raft(Ask(last: 7)));
        await member.Inbox.Expect<NodeInput.Received>(r =>
            r.Message is PeerMessage.Raft { Message: ObserveRequest { LastIndex.Value: 7 } });
        Assert.Empty(member.Inbox.All.OfType<NodeInput.LinkDown>());
    }

    [Fact]
    public async Task A_number_that_is_a_members_is_not_let_in_for_an_observers()
    {
        await using var member = new TestMember(1);
        await using var stranger = new TestMember(9, ListensNowhere);
        member.Join((new(2), "127.0.0.1:1"));
        stranger.Join(member);
        await stranger.Logger.Expect("knows no member 9");
    }

    [Fact]
    public async Task The_death_of_an_observers_process_is_proven_though_it_listens_nowhere()
    {
        using var child = Child.Start();
        await using var member = new TestMember(1);
        await using var observer = new TestMember(300, ListensNowhere);
        member.Hello = member.Hello with { Process = HostProcess.Current() };
        observer.Hello = observer.Hello with { Process = child.HostProcess };
        member.Join((new(2), "127.0.0.1:1"));
        observer.Join(member);
        await member.LinkUp();
        await observer.Transport.AbortAsync();
        // Its link is gone first, as when a process is killed; then the process.
        await member.Inbox.Expect<NodeInput.LinkDown>();
        Assert.Empty(member.Inbox.All.OfType<NodeInput.PeerDied>());
        child.Kill();
        var died = (await member.Inbox.Expect<NodeInput.PeerDied>()).Evidence;
        Assert.True(died.Proven);
        Assert.Equal((observer.Id, 1L), (died.Member, died.Boot));
    }

    [Fact]
    public async Task An_observer_that_comes_back_while_it_is_looked_for_is_not_dead()
    {
        using var child = Child.Start();
        await using var member = new TestMember(1);
        member.Hello = member.Hello with { Process = HostProcess.Current() };
        member.Join((new(2), "127.0.0.1:1"));
        await using var first = new TestMember(300, ListensNowhere);
        first.Hello = first.Hello with { Process = child.HostProcess };
        first.Join(member);
        await member.LinkUp();
        await first.Transport.AbortAsync();
        await member.Inbox.Expect<NodeInput.LinkDown>();
        await using var again = new TestMember(300, ListensNowhere);
        again.Hello = first.Hello;
        again.Join(member);
        await again.LinkUp();
        child.Kill();
        again.Send(member.Id, new PeerMessage.Raft(Ask(last: 1, from: 300)));
        await member.Inbox.Expect<NodeInput.Received>();
        Assert.Empty(member.Inbox.All.OfType<NodeInput.PeerDied>());
    }

    private static ObserveRequest Ask(long last, int from = 256) =>
        new() { From = new(from), To = new(1), Term = new(3), LastIndex = new(last), LastTerm = new(3) };
}
