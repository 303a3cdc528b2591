using RaftKit.Recipes.Tests.Fakes;
using RaftKit.Znodes;
using Xunit;

namespace RaftKit.Recipes.Tests;

/// <summary>What becomes of an entry whose creation was never answered.</summary>
public sealed class UnknownOutcomeTests
{
    private const string Path = "/election";
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly FakeQuorum _quorum = new();

    [Theory]
    [InlineData(CreateFate.UnknownButApplied)]
    [InlineData(CreateFate.UnknownAndNeverApplied)]
    [InlineData(CreateFate.UnknownAndAppliedLater)]
    [InlineData(CreateFate.NotApplied)]
    internal async Task A_contender_whose_create_went_wrong_leads_with_one_entry_and_leaves_none(CreateFate fate)
    {
        var (session, election) = await ContenderAsync(fate);

        var leadership = await election.WaitForLeadershipAsync().WaitAsync(Patience);

        Assert.True(leadership.IsHeld);
        Assert.Equal($"{Path}/{Assert.Single(_quorum.ChildrenOf(Path))}", leadership.Path);
        await leadership.DisposeAsync();
        await election.DisposeAsync();
        Assert.Empty(_quorum.ChildrenOf(Path));
        Assert.Empty(session.Watches);
    }

    [Fact]
    public async Task A_create_applied_after_the_wait_was_given_up_leaves_no_orphan_to_block_the_queue()
    {
        var (session, election) = await ContenderAsync(CreateFate.UnknownAndAppliedLater);
        using var stop = new CancellationTokenSource();
        var fate = session.Fate;
        session.Fate = () =>
        {
            stop.Cancel();
            return fate();
        };

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => election.WaitForLeadershipAsync(stop.Token).WaitAsync(Patience));
        await election.DisposeAsync();

        // Whatever was under way is applied by now, and gone again.
        await session.CreateAsync("/later");
        Assert.Empty(_quorum.ChildrenOf(Path));
    }

    [Fact]
    public async Task A_refusal_while_a_second_entry_is_cleaned_up_is_waited_out()
    {
        var (session, election) = await ContenderAsync(CreateFate.UnknownAndAppliedLater);
        session.RefusedDeletions = 2;

        // The retried create is applied behind the one that was late: two entries, of which the second is to go.
        await using var leadership = await election.WaitForLeadershipAsync().WaitAsync(Patience);

        Assert.True(session.RefusedDeletions < 0);
        Assert.Equal($"{Path}/{Assert.Single(_quorum.ChildrenOf(Path))}", leadership.Path);
    }

    [Theory]
    [InlineData("open")]
    [InlineData("children")]
    [InlineData("exists")]
    [InlineData("watch")]
    public async Task Reads_and_watches_that_a_busy_node_refuses_are_made_again_and_the_entry_keeps_its_place(string refused)
    {
        var (session, election) = await ContenderAsync(CreateFate.Answered);
        var creates = 0;
        var refusals = 0;
        var fate = session.Fate;
        session.Fate = () =>
        {
            creates++;
            return fate();
        };
        session.RefusesReads = call => call == refused && refusals++ % 2 == 0;

        var leadership = await election.WaitForLeadershipAsync().WaitAsync(Patience);

        Assert.True(leadership.IsHeld);
        Assert.True(refusals > 0);
        Assert.Equal(1, creates);
        await leadership.DisposeAsync();
        await election.DisposeAsync();
        Assert.Empty(_quorum.ChildrenOf(Path));
        Assert.Empty(session.Watches);
    }

    [Fact]
    public async Task A_wait_that_is_refused_over_and_over_ends_when_it_is_cancelled_and_leaves_no_entry()
    {
        var (session, election) = await ContenderAsync(CreateFate.Answered);
        using var stop = new CancellationTokenSource();
        var refusals = 0;
        session.RefusesReads = call =>
        {
            if (call != "exists")
                return false;
            if (++refusals == 20)
                stop.Cancel();
            return true;
        };

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => election.WaitForLeadershipAsync(stop.Token).WaitAsync(Patience));

        await election.DisposeAsync();
        Assert.Empty(_quorum.ChildrenOf(Path));
    }

    [Fact]
    public async Task A_wait_that_is_refused_over_and_over_ends_with_its_session()
    {
        var (session, election) = await ContenderAsync(CreateFate.Answered);
        var refusals = 0;
        session.RefusesReads = call =>
        {
            if (++refusals == 20)
                session.Expire();
            return true;
        };

        await Assert.ThrowsAsync<SessionExpiredException>(() => election.WaitForLeadershipAsync().WaitAsync(Patience));
    }

    [Fact]
    public async Task Whoever_follows_the_leaders_is_not_ended_by_a_refusal()
    {
        var (session, election) = await ContenderAsync(CreateFate.Answered);
        var refusals = 0;
        session.RefusesReads = _ => refusals++ < 3;

        await using var changes = election.LeaderChangesAsync().GetAsyncEnumerator();

        Assert.True(await changes.MoveNextAsync().AsTask().WaitAsync(Patience));
        Assert.Null(changes.Current);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(8)]
    public async Task Whatever_goes_wrong_nobody_leads_beside_another_and_tokens_grow(int seed)
    {
        var random = new Random(seed);
        var watch = new Lock();
        var ended = new List<Task>();
        Leadership? leading = null;
        var last = default(FencingToken);
        var granted = 0;

        async Task ContendAsync(FakeSession session)
        {
            await using var election = new LeaderElection(session, Path, new LeaderElectionOptions { TimeProvider = new InstantTime() });
            for (var round = 0; round < 20; round++)
            {
                using var stop = new CancellationTokenSource();
                session.Fate = () =>
                {
                    if (Roll(4) == 0)
                        stop.Cancel();
                    return (CreateFate)Roll(5);
                };
                session.RefusesReads = _ => Roll(5) == 0;
                try
                {
                    await using var leadership = await election.WaitForLeadershipAsync(stop.Token);
                    lock (watch)
                    {
                        Assert.True(leading is null, "a second leader beside the first");
                        Assert.True(leadership.FencingToken > last, $"token {leadership.FencingToken} after {last}");
                        last = leadership.FencingToken;
                        leading = leadership;
                        granted++;
                    }

                    await Task.Yield();
                    lock (watch)
                        leading = null;
                }
                catch (OperationCanceledException)
                {
                }
            }
        }

        int Roll(int sides)
        {
            lock (random)
                return random.Next(sides);
        }

        for (var i = 0; i < 5; i++)
            ended.Add(ContendAsync(_quorum.OpenFake()));

        await Task.WhenAll(ended).WaitAsync(Patience);
        Assert.True(granted > 20, $"only {granted} were granted");
        foreach (var session in _quorum.Sessions)
            session.RefusesReads = _ => false;
        foreach (var session in _quorum.Sessions)
            await session.CreateAsync($"/settled-{session.Id:x}");
        Assert.Empty(_quorum.ChildrenOf(Path));
    }

    private async Task<(FakeSession Session, LeaderElection Election)> ContenderAsync(CreateFate first)
    {
        var session = _quorum.OpenFake();
        await session.CreateAsync(Path);
        var creates = 0;
        session.Fate = () => creates++ == 0 ? first : CreateFate.Answered;
        return (session, new LeaderElection(session, Path, new LeaderElectionOptions { TimeProvider = new InstantTime() }));
    }
}
