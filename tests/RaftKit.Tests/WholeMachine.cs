using Xunit;

namespace RaftKit.Tests;

/// <summary>
/// Tests that start many processes, and whose clients hold to time limits: one after the other, when all others are through.
/// </summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class WholeMachine
{
    public const string Name = "the whole machine";
}
