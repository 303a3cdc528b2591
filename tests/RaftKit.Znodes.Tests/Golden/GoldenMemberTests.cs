using Xunit;

namespace RaftKit.Znodes.Tests.Golden;

/// <summary>
/// Whole members' directories as format 1 wrote them: a member of today starts in them and serves what was served then, value by value.
/// </summary>
public sealed class GoldenMemberTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("raftkit-golden-").FullName;

    /// <summary>Its directory, and how often it took a snapshot: in the log alone, and most of it in a snapshot.</summary>
    public static TheoryData<string, long> Scenes => new() { { "log", 100_000 }, { "compacted", 12 } };

    [Theory, MemberData(nameof(Scenes))]
    public async Task A_member_of_today_serves_what_was_kept(string scene, long snapshotEvery)
    {
        var kept = Path.Combine(AppContext.BaseDirectory, "Golden", "format-1", scene);
        foreach (var file in Directory.GetFiles(kept))
            File.Copy(file, Path.Combine(_folder, Path.GetFileName(file)));
        var served = await File.ReadAllTextAsync(Path.Combine(kept, "served.txt"));
        File.Delete(Path.Combine(_folder, "served.txt"));
        Assert.Equal(scene == "compacted", Directory.GetFiles(_folder, "*.snapshot").Length > 0);

        // Twice: the first start writes the log on.
        for (var start = 0; start < 2; start++)
        {
            await using var member = await GoldenMember.StartAsync(_folder, snapshotEvery);
            Assert.Equal(served, await member.ServedAsync());
        }
    }

    [Theory, MemberData(nameof(Scenes))]
    public async Task What_a_member_of_today_writes_is_served_at_its_next_start(string scene, long snapshotEvery)
    {
        await GoldenMember.LiveAsync(_folder, snapshotEvery);
        string first;
        await using (var member = await GoldenMember.StartAsync(_folder, snapshotEvery))
            first = await member.ServedAsync();
        await using (var member = await GoldenMember.StartAsync(_folder, snapshotEvery))
            Assert.Equal(first, await member.ServedAsync());
        Assert.Contains("orders at level 2", first, StringComparison.Ordinal);
        Assert.Contains("second at", first, StringComparison.Ordinal);
        Assert.Contains("/app/second-life 'again'", first, StringComparison.Ordinal);
        Assert.DoesNotContain("/app/mine", first, StringComparison.Ordinal);
        Assert.Equal(scene == "compacted", Directory.GetFiles(_folder, "*.snapshot").Length > 0);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
