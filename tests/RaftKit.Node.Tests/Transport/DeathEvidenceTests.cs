using System.Net;
using System.Net.Sockets;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;
using RaftKit.Node.Tests.Liveness;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Transport;

public sealed class DeathEvidenceTests
{
    [Fact]
    public async Task A_link_that_breaks_and_a_port_that_stays_refused_are_evidence_without_proof()
    {
        var (one, two) = await TestMember.LinkedPair();
        await using var _ = one;
        await two.Transport.AbortAsync();
        var died = (await one.Inbox.Expect<NodeInput.PeerDied>()).Evidence;
        Assert.Equal((two.Id, 1, 1L, false), (died.Member, died.Incarnation, died.Boot, died.Proven));
        Assert.Contains("refused", died.Reason);
        var inputs = one.Inbox.All.ToList();
        Assert.True(inputs.FindIndex(i => i is NodeInput.LinkDown) < inputs.FindIndex(i => i is NodeInput.PeerDied));
    }

    [Fact]
    public async Task A_process_of_the_same_machine_that_is_killed_is_proven_dead()
    {
        using var child = Child.Start();
        await using var one = new TestMember(1);
        await using var two = new TestMember(2);
        await LinkToChild(one, two, child);
        child.Kill();
        await two.Transport.AbortAsync();
        var died = (await one.Inbox.Expect<NodeInput.PeerDied>()).Evidence;
        Assert.True(died.Proven, died.Reason);
        Assert.Contains($"process {child.HostProcess.Pid} is gone", died.Reason);
    }

    [Fact]
    public async Task A_process_of_another_pid_namespace_that_is_killed_is_believed_dead_and_not_proven()
    {
        using var child = await Child.StartInAnotherNamespaceAsync();
        Assert.NotEqual(HostProcess.Current().PidNamespace, child.HostProcess.PidNamespace);
        await using var one = new TestMember(1);
        await using var two = new TestMember(2);
        await LinkToChild(one, two, child);
        child.Kill();
        await two.Transport.AbortAsync();
        // Process 1 of this namespace is another one, and started at another time: taken for that process, it would be gone.
        var died = (await one.Inbox.Expect<NodeInput.PeerDied>()).Evidence;
        Assert.False(died.Proven, died.Reason);
    }

    [Fact]
    public async Task Proof_follows_evidence_when_the_process_ends_after_its_port_closed()
    {
        using var child = Child.Start();
        await using var one = new TestMember(1);
        await using var two = new TestMember(2);
        await LinkToChild(one, two, child);
        await two.Transport.AbortAsync();
        Assert.False((await one.Inbox.Expect<NodeInput.PeerDied>()).Evidence.Proven);
        child.Kill();
        await one.Inbox.Expect<NodeInput.PeerDied>(d => d.Evidence.Proven);
        Assert.Equal(2, one.Inbox.All.OfType<NodeInput.PeerDied>().Count());
    }

    [Fact]
    public async Task A_stopped_process_still_accepts_and_is_never_declared_dead()
    {
        // A listener that nobody serves: what is left of a member under SIGSTOP. Its link breaks, its port accepts.
        using var stopped = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        stopped.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        stopped.Listen(10);
        await using var one = new TestMember(1);
        one.Join((new(2), "127.0.0.1:1"));
        var peer = await RawPeer.Link(one, RawPeer.HelloOf(2));
        one.Join((new(2), stopped.LocalEndPoint!.ToString()!));
        peer.Dispose();
        await one.Inbox.Expect<NodeInput.LinkDown>();
        // Three probes that were accepted, one after the other, and not one verdict.
        for (var probe = 0; probe < 4; probe++)
            (await stopped.AcceptAsync()).Dispose();
        Assert.Empty(one.Inbox.All.OfType<NodeInput.PeerDied>());

        // It is killed at last: now the port refuses.
        stopped.Close();
        await one.Inbox.Expect<NodeInput.PeerDied>();
    }

    [Fact]
    public async Task A_link_that_breaks_between_living_processes_comes_back_without_evidence()
    {
        await using var one = new TestMember(1);
        await using var two = new TestMember(2);
        two.Join((one.Id, "127.0.0.1:1"));
        one.Join((two.Id, "127.0.0.1:1"));
        // Something that passes for member 2 breaks its link; the real one listens.
        var peer = await RawPeer.Link(one, RawPeer.HelloOf(2));
        one.Join(two);
        peer.Dispose();
        await one.Inbox.Expect<NodeInput.LinkUp>(up => up.Hello == two.Hello);
        Assert.Single(one.Inbox.All.OfType<NodeInput.LinkDown>());
        Assert.Empty(one.Inbox.All.OfType<NodeInput.PeerDied>());
    }

    [Fact]
    public async Task A_newer_start_proves_the_old_ones_death_when_its_process_is_gone()
    {
        using var child = Child.Start();
        await using var one = new TestMember(1);
        one.Hello = one.Hello with { Process = HostProcess.Current() };
        one.Join((new(2), "127.0.0.1:1"));
        using var old = await RawPeer.Link(one, RawPeer.HelloOf(2) with { Process = child.HostProcess });
        child.Kill();
        using var young = await RawPeer.Link(one, RawPeer.HelloOf(2, boot: 2));
        var died = (await one.Inbox.Expect<NodeInput.PeerDied>()).Evidence;
        Assert.Equal((1L, true), (died.Boot, died.Proven));
    }

    /// <summary>
    /// Found by killing leaders: the survivor's dial reached the dying process's listener, which was reset before the dial had looked at
    /// it, and the error that nobody caught stopped the survivor as well.
    /// </summary>
    [Fact]
    public async Task A_connection_that_is_reset_as_soon_as_it_is_made_is_a_dial_that_failed()
    {
        using var dying = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        dying.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        dying.Listen(100);
        var reset = 0;
        var resetting = Task.Run(() =>
        {
            while (reset < 300)
            {
                using var accepted = dying.Accept();
                accepted.LingerState = new LingerOption(true, 0);
                reset++;
            }
        });
        await using var one = new TestMember(
            1, TestMember.Options() with { MinBackoff = TimeSpan.FromMilliseconds(1), MaxBackoff = TimeSpan.FromMilliseconds(1) });
        one.Join((new(2), dying.LocalEndPoint!.ToString()!));
        Assert.Same(resetting, await Task.WhenAny(resetting, one.Inbox.Expect<NodeInput.Call>()));
        await resetting;
        Assert.DoesNotContain(one.Inbox.All, static input => input is NodeInput.Call);
        var two = await RawPeer.Link(one, RawPeer.HelloOf(2));
        two.Dispose();
    }

    /// <summary>Links two members, of which the second says that it runs in the child.</summary>
    private static Task LinkToChild(TestMember one, TestMember two, Child child)
    {
        one.Hello = one.Hello with { Process = HostProcess.Current() };
        two.Hello = two.Hello with { Process = child.HostProcess };
        one.Join(two);
        two.Join(one);
        return one.LinkUp();
    }
}
