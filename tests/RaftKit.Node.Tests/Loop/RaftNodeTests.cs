using System.Buffers.Binary;
using Microsoft.Extensions.Logging.Abstractions;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;
using RaftKit.Node.Transport;
using RaftKit.Tests;
using Xunit;

namespace RaftKit.Node.Tests.Loop;

/// <summary>Whole members on real disks and loopback links, in one process.</summary>
public sealed partial class RaftNodeTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private readonly string _root = Directory.CreateTempSubdirectory("raftkit-node-").FullName;
    private readonly Dictionary<int, Member> _members = [];
    private Dictionary<MemberId, string> _endpoints = [];
    private long _snapshotEvery = 1_000_000;
    private long _keepMemory = 16 << 20;
    private int _electionTicks = 40;
    private int _chunk = 1 << 20;
    private SegmentedLogOptions _log = new();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(7)]
    public async Task An_ensemble_of_any_size_forms_and_applies_what_any_member_proposes(int size)
    {
        Configure(size);
        StartAll();
        for (var i = 1; i <= size; i++)
            Assert.Equal(i, await ProposeAsync(i, i * 100));
        await AllHoldAsync([.. Enumerable.Range(1, size).Select(i => i * 100L)]);
    }

    [Fact]
    public async Task Proposals_of_all_members_apply_once_and_in_each_proposers_order()
    {
        Configure(3);
        StartAll();
        await Task.WhenAll(Enumerable.Range(1, 3).Select(async member =>
        {
            var results = new List<Task<long>>();
            for (var i = 0; i < 500; i++)
                results.Add(ProposeAsync(member, (member * 1000) + i));
            var positions = await Task.WhenAll(results);
            Assert.Equal(positions.Order(), positions);
        }));
        var values = _members[1].Machine.Values;
        Assert.Equal(1500, values.Distinct().Count());
        await AllHoldAsync(values);
    }

    [Fact]
    public async Task A_proposal_for_a_state_machine_that_nobody_registered_is_refused_and_the_node_goes_on()
    {
        Configure(1);
        StartAll();
        var refused = await Assert.ThrowsAsync<NotAppliedException>(() => ProposeAsync(1, 5, "nobody"));
        Assert.Contains("no state machine 'nobody', only register", refused.Message, StringComparison.Ordinal);
        Assert.Equal(1, await ProposeAsync(1, 6));
    }

    [Fact]
    public async Task A_member_that_lacks_a_state_machine_stops_before_its_first_entry_and_goes_on_when_it_is_given_it()
    {
        Configure(3);
        StartAll();
        await ProposeAsync(1, 1);
        var behind = Follower();
        await StopAsync(behind);
        Start(behind, new RegisterMachine("another"));
        await ProposeAsync(Other(behind), 2);

        var member = _members[behind];
        var missing = Assert.IsType<StateMachineMissingException>(await member.Node.Ended.WaitAsync(Patience));

        Assert.Equal("register", missing.Machine);
        Assert.Contains($"Entry {missing.Index} holds work of the state machine 'register'", missing.Message, StringComparison.Ordinal);
        Assert.Empty(member.Machine.Values);
        await member.Node.DisposeAsync();
        _members.Remove(behind);
        await ProposeAsync(Other(behind), 3);
        Start(behind);
        await AllHoldAsync([1, 2, 3]);
    }

    [Fact]
    public async Task A_snapshot_of_a_state_machine_that_was_not_registered_fails_the_start_and_stays()
    {
        _snapshotEvery = 20;
        Configure(1);
        Start(1);
        for (var i = 0; i < 60; i++)
            await ProposeAsync(1, i);
        await Eventually.HoldsAsync(Patience, () => _members[1].Node.Counters.SnapshotsTaken > 0);
        await StopAsync(1);

        var missing = Assert.Throws<StateMachineMissingException>(() => Start(1, new RegisterMachine("another")));
        await _members[1].Node.DisposeAsync();

        Assert.Equal("register", missing.Machine);
        Start(1);
        await AllHoldAsync([.. Enumerable.Range(0, 60).Select(i => (long)i)]);
    }

    [Fact]
    public async Task A_restarted_member_has_what_it_had_and_gets_what_it_missed()
    {
        Configure(3);
        StartAll();
        await ProposeAsync(1, 1);
        var follower = Follower();
        await StopAsync(follower);
        await ProposeAsync(Other(follower), 2);
        Start(follower);
        await AllHoldAsync([1, 2]);
        Assert.Equal(3, await ProposeAsync(follower, 3));
    }

    [Fact]
    public async Task After_a_full_stop_everything_acknowledged_is_there()
    {
        Configure(3);
        StartAll();
        for (var i = 1; i <= 20; i++)
            await ProposeAsync((i % 3) + 1, i);
        foreach (var id in _members.Keys.ToList())
            await StopAsync(id);
        StartAll();
        await AllHoldAsync([.. Enumerable.Range(1, 20).Select(i => (long)i)]);
    }

    [Fact]
    public async Task A_graceful_stop_of_the_leader_hands_over_and_writes_go_on()
    {
        Configure(3);
        StartAll();
        await ProposeAsync(1, 1);
        var leader = Leader();
        await StopAsync(leader);
        Assert.Equal(2, await ProposeAsync(Other(leader), 2));
    }

    [Fact]
    public async Task A_member_whose_disk_was_wiped_comes_back_under_a_new_incarnation_and_votes_again()
    {
        Configure(3);
        StartAll();
        await ProposeAsync(1, 1);
        var wiped = Follower();
        await StopAsync(wiped);
        Directory.Delete(DirectoryOf(wiped), recursive: true);
        Start(wiped);
        await AllHoldAsync([1]);
        await Eventually.HoldsAsync(
            Patience, () => _members[wiped].Node.Loop.Core is { } core && core.Membership.IsVoter(new MemberId(wiped))
            && core.Membership.IncarnationOf(new MemberId(wiped))!.Value.Incarnation == 2);
        // Its vote counts: with it alone beside one other, the quorum goes on.
        await StopAsync(Enumerable.Range(1, 3).First(i => i != wiped && i != Leader()));
        Assert.Equal(2, await ProposeAsync(wiped, 2));
    }

    [Fact]
    public async Task A_member_that_missed_more_than_the_log_keeps_gets_a_snapshot()
    {
        _snapshotEvery = 50;
        Configure(3);
        StartAll();
        await ProposeAsync(1, 0);
        var behind = Follower();
        await StopAsync(behind);
        var from = Other(behind);
        for (var i = 1; i < 400; i++)
            await ProposeAsync(from, i);
        Start(behind);
        await AllHoldAsync([.. Enumerable.Range(0, 400).Select(i => (long)i)]);
        Assert.Equal(1, _members[behind].Node.Counters.SnapshotsInstalled);
        await StopAsync(behind);
        Start(behind);
        await AllHoldAsync([.. Enumerable.Range(0, 400).Select(i => (long)i)]);
    }

    [Fact]
    public async Task Whoever_stops_a_member_twice_waits_for_the_same_stop_and_then_its_directory_is_free()
    {
        Configure(1);
        Start(1);
        await ProposeAsync(1, 1);
        var node = _members[1].Node;

        var stop = node.StopAsync();
        await node.DisposeAsync().AsTask().WaitAsync(Patience);

        Assert.True(stop.IsCompletedSuccessfully);
        Start(1);
        await AllHoldAsync([1]);
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var id in _members.Keys.ToList())
            await StopAsync(id);
        Directory.Delete(_root, recursive: true);
    }

    private void Configure(int size) =>
        _endpoints = Enumerable.Range(1, size).ToDictionary(i => new MemberId(i), _ => $"127.0.0.1:{Loopback.FreePort()}");

    private void StartAll()
    {
        foreach (var id in _endpoints.Keys)
            Start(id.Value);
    }

    private void Start(int id, RegisterMachine? machine = null)
    {
        machine ??= new RegisterMachine();
        var options = new NodeLoopOptions
        {
            Self = new MemberId(id),
            Members = _endpoints,
            Seed = (ulong)id,
            HostProcess = HostProcess.Current(),
            SnapshotEveryEntries = _snapshotEvery,
            KeepEntries = 10,
            KeepMemoryBytes = _keepMemory,
            ElectionTicks = _electionTicks,
            SnapshotChunkBytes = _chunk,
            Log = _log,
        };
        var transport = new TcpTransportOptions { Listen = _endpoints[options.Self] };
        var node = new RaftNode(options, transport, DirectoryOf(id), [machine], [], TimeProvider.System, NullLoggerFactory.Instance);
        _members[id] = new Member(node, machine);
        node.Start();
    }

    private async Task StopAsync(int id)
    {
        Assert.True(_members.Remove(id, out var member));
        await member.Node.StopAsync().WaitAsync(Patience);
        // One that could not even start never ends.
        Assert.Null(await member.Node.Ended.WaitAsync(Patience));
    }

    private string DirectoryOf(int id) => Path.Combine(_root, $"member-{id}");

    private int Leader() => _members.Values.Select(m => m.Node.Status.Leader.Value).First(l => l != 0 && _members.ContainsKey(l));

    private int Follower() => _members.Keys.First(id => id != Leader());

    private int Other(int than) => _members.Keys.First(id => id != than);

    private async Task<long> ProposeAsync(int member, long value, string machine = "register")
    {
        var command = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(command, value);
        var callback = new Callback();
        _members[member].Node.Inbox.Post(new NodeInput.Propose(machine, command, callback));
        return await callback.Result.Task.WaitAsync(Patience);
    }

    private Task AllHoldAsync(IReadOnlyList<long> values) =>
        Eventually.HoldsAsync(Patience, () => _members.Values.All(m => m.Machine.Values.SequenceEqual(values)));

    private sealed record Member(RaftNode Node, RegisterMachine Machine);

    private sealed class Callback : IProposalCallback
    {
        public TaskCompletionSource<long> Result { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Applied(in CommandContext context, ReadOnlyMemory<byte> result) =>
            Result.TrySetResult(BinaryPrimitives.ReadInt64LittleEndian(result.Span));

        public void Failed(ProposalFailure failure, string reason) =>
            Result.TrySetException(
                failure == ProposalFailure.Unknown ? new OutcomeUnknownException(reason) : new NotAppliedException(reason));
    }
}
