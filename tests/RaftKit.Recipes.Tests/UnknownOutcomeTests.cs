using RaftKit.Recipes.Tests.Fakes;
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
