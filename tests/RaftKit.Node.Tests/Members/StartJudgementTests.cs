using RaftKit.Node.Members;
using Xunit;

namespace RaftKit.Node.Tests.Members;

/// <summary>A start takes part once everybody has judged it, or after an election timeout (DESIGN, promise 4).</summary>
public sealed class StartJudgementTests
{
    [Fact]
    public void It_is_over_when_all_others_have_judged()
    {
        var judgement = new StartJudgement([new(2), new(3)], patience: 40);
        judgement.Admitted(new(2));
        judgement.Admitted(new(2));
        Assert.False(judgement.IsOver);
        judgement.Admitted(new(3));
        Assert.True(judgement.IsOver);
    }

    [Fact]
    public void Those_who_are_silent_for_an_election_timeout_are_not_waited_for()
    {
        var judgement = new StartJudgement([new(2)], patience: 40);
        for (var tick = 0; tick < 40; tick++)
        {
            Assert.False(judgement.IsOver);
            judgement.Tick();
        }
        Assert.True(judgement.IsOver);
    }

    [Fact]
    public void Alone_or_new_nobody_is_waited_for()
    {
        Assert.True(new StartJudgement([], patience: 40).IsOver);
        Assert.True(StartJudgement.NotNeeded.IsOver);
    }
}
