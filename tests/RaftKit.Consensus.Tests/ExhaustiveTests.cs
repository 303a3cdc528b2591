using RaftKit.Exhaustive;
using RaftKit.Simulation;

namespace RaftKit.Consensus.Tests;

/// <summary>tests/RaftKit.Exhaustive within bounds that are soon exhausted, and that it can fail.</summary>
public sealed class ExhaustiveTests
{
    [Theory]
    [InlineData("small")]
    [InlineData("crash")]
    [InlineData("read")]
    public void Every_interleaving_within_small_bounds_is_safe(string scope)
    {
        var found = Search(Bounds.Scopes[scope]);

        Assert.Null(found.Violation);
        Assert.True(found.IsComplete, $"{found.States} states, and there are more");
        Assert.InRange(found.States, 10_000, 500_000);
    }

    [Theory]
    [InlineData("small", "diskforgetsvotes=1", "vote")]
    [InlineData("crash", "disklosestail=1", "entry")]
    public void A_disk_that_does_not_keep_its_promises_is_found_out(string scope, string fault, string found)
    {
        var broken = Search(Bounds.Scopes[scope].With([fault])!);

        Assert.Contains(found, broken.Violation, StringComparison.Ordinal);
        Assert.NotEmpty(broken.Path);
    }

    [Theory]
    [InlineData("--scope", "nope")]
    [InlineData("--with", "zzz")]
    [InlineData("--states", "-1")]
    [InlineData("--bogus")]
    public void Bad_flags_are_no_finding(params string[] flags) =>
        Assert.Equal(2, typeof(Bounds).Assembly.EntryPoint!.Invoke(null, [flags]));

    [Fact]
    public void Copies_of_the_code_whose_process_is_gone_are_swept_and_others_are_not()
    {
        var folder = Directory.CreateTempSubdirectory("raftkit-sweep-").FullName;
        try
        {
            string left = Copy("left"), held = Copy("held"), beingMade = Copy("being-made");
            ScratchCopy.Own(left).Dispose();
            using (ScratchCopy.Own(held))
                ScratchCopy.Sweep(folder);

            Assert.False(Directory.Exists(left));
            Assert.True(Directory.Exists(held) && Directory.Exists(beingMade));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        string Copy(string name) => Directory.CreateDirectory(Path.Combine(folder, "raftkit-mutant-" + name, "src")).Parent!.FullName;
    }

    /// <summary>
    /// What the search rests on: a copy of a core knows all that the core does, and one that ran before gives what it would give again.
    /// </summary>
    [Fact]
    public void A_copied_core_goes_on_as_the_original_does()
    {
        var random = new Random(1);
        for (int walk = 0; walk < 30; walk++)
        {
            World copied = new(Bounds.Scopes["all"]), original = new(Bounds.Scopes["all"], copies: false);
            copied.Start();
            original.Start();
            int[] state = [], same = [];
            var events = new List<Event>();
            for (int step = 0; step < 60; step++)
            {
                var from = copied.Store(ref state).ToArray();
                copied.Events(events);
                bool happened = false;
                Event next = default;
                while (!happened && events.Count > 0)
                {
                    next = events[random.Next(events.Count)];
                    events.Remove(next);
                    copied.Load(from);
                    happened = copied.Apply(next);
                }
                if (!happened)
                    break;
                Assert.True(original.Apply(InWordsOf(original, copied, next)));
                Assert.Null(copied.Broken);
                for (int member = 0; member < 3; member++)
                    Assert.Equal(original[member].Hash(), copied[member].Hash());
                Assert.Equal(original.Flight.Order(), copied.Flight.Select(m => NumberIn(original, copied, m)).Order());
            }
        }
    }

    // Each world numbers messages as it meets them, and one of the two tries events that turn out not to be possible.
    private static Event InWordsOf(World other, World world, Event now) =>
        now.Kind is EventKind.Message or EventKind.Duplicate or EventKind.Loss
        ? new Event(now.Kind, now.Member, NumberIn(other, world, now.Argument), now.Slow) : now;

    private static int NumberIn(World other, World world, int message) => other.Machine.Number(world.Machine.Message(message));

    private static Found Search(Bounds bounds) => new Search(bounds, mostStates: 600_000).Run();
}
