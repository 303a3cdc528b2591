using System.Globalization;
using System.Reflection;

namespace RaftKit.Exhaustive;

/// <summary>How many of each event one run of the cluster may see. All interleavings within that are searched.</summary>
internal sealed record Bounds
{
    /// <summary>Election timeouts, of any members.</summary>
    public int Elections { get; init; }

    /// <summary>Leaders that give up because nobody answers.</summary>
    public int Silences { get; init; }

    /// <summary>Regular heartbeats, beside those that open a term and those of reads.</summary>
    public int Beats { get; init; }

    public int Proposals { get; init; }

    public int Reads { get; init; }

    public int Transfers { get; init; }

    /// <summary>Memberships proposed: without one of the voters, or with it again.</summary>
    public int Changes { get; init; }

    /// <summary>Crashes, each followed by a restart from what the disk holds.</summary>
    public int Crashes { get; init; }

    /// <summary>Times that a write stays on its way until a later event; every other one is durable at once.</summary>
    public int SlowWrites { get; init; }

    /// <summary>Messages lost. One that is never delivered is lost as well; this makes room on its link.</summary>
    public int Losses { get; init; }

    /// <summary>Messages that are delivered, and stay in flight.</summary>
    public int Duplicates { get; init; }

    /// <summary>Links that break and come back, as a leader hears of it.</summary>
    public int Breaks { get; init; }

    /// <summary>Times that a member believes to have evidence of another's death, true or not.</summary>
    public int Evidence { get; init; }

    /// <summary>Messages in flight from one member to another; more are lost.</summary>
    public int Link { get; init; } = 2;

    /// <summary>
    /// Whether a pre-vote is asked and answered in one event, of one other member. It changes nothing at whom it asks, so what that leaves
    /// out is only answers that are out of date, and they let nobody win anything but the right to campaign.
    /// </summary>
    public bool PreVotesAtOnce { get; init; }

    /// <summary>
    /// Whether to begin with a leader whose first entry is committed everywhere, instead of three members that know nothing.
    /// </summary>
    public bool FromLeader { get; init; }

    /// <summary>
    /// Not a bound: the model's disks store terms without the votes in them (hashicorp/raft 661). Shows that the search finds what is
    /// there.
    /// </summary>
    public bool DiskForgetsVotes { get; init; }

    /// <summary>Not a bound: the model's disks call durable what a crash still takes, the newest entry (yugabyte 32875).</summary>
    public bool DiskLosesTail { get; init; }

    /// <summary>The same, but for those named: "elections=3 link=1"; 0 and 1 stand for no and yes.</summary>
    /// <returns>Null if a name or a number is none.</returns>
    public Bounds? With(IEnumerable<string> changes)
    {
        var copy = this with { };
        foreach (string change in changes)
        {
            if (change.Split('=') is not [var name, var value] || !int.TryParse(value, CultureInfo.InvariantCulture, out int number)
                || number < 0
                || typeof(Bounds).GetProperty(
                    name.Replace("-", "", StringComparison.Ordinal),
                    BindingFlags.IgnoreCase | BindingFlags.Public | BindingFlags.Instance) is not { } property)
                return null;
            property.SetValue(copy, property.PropertyType == typeof(bool) ? number != 0 : number);
        }
        return copy;
    }

    /// <summary>Named sets: what each is for stands in README.md.</summary>
    public static IReadOnlyDictionary<string, Bounds> Scopes { get; } = new Dictionary<string, Bounds>(StringComparer.Ordinal)
    {
        ["all"] = new()
        {
            Elections = 3, Silences = 1, Beats = 1, Proposals = 1, Reads = 1, Transfers = 1, Changes = 1, Crashes = 1, SlowWrites = 1,
            Losses = 1, Duplicates = 1,
            Breaks = 1, Evidence = 1,
        },
        ["elections"] = new() { Elections = 3, Silences = 1, PreVotesAtOnce = true, Link = 1 },
        ["logs"] = new() { Elections = 4, Silences = 2, Proposals = 1, PreVotesAtOnce = true, Link = 1 },
        ["disks"] = new() { Elections = 2, Crashes = 1, SlowWrites = 1, PreVotesAtOnce = true, Link = 1 },
        ["appends"] = new() { Elections = 1, Beats = 1, Proposals = 2, Duplicates = 1, PreVotesAtOnce = true, FromLeader = true },
        ["reads"] = new() { Elections = 1, Proposals = 1, Reads = 2, PreVotesAtOnce = true, FromLeader = true },
        ["members"] = new() { Elections = 2, Proposals = 1, Changes = 2, Transfers = 1, PreVotesAtOnce = true, FromLeader = true },
        ["small"] = new() { Elections = 2, PreVotesAtOnce = true, Link = 1 },
        ["crash"] = new() { Elections = 1, Crashes = 1, SlowWrites = 1, PreVotesAtOnce = true, Link = 1 },
        ["read"] = new() { Elections = 1, Reads = 1, PreVotesAtOnce = true, FromLeader = true, Link = 1 },
    };
}
