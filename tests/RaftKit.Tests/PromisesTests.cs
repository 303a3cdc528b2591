using HouseTests;
using RaftKit.Chaos;
using RaftKit.TestKit;
using Xunit;

namespace RaftKit.Tests;

/// <summary>Chaos' own judge of reads that may be behind: each promise, kept and broken.</summary>
public sealed class PromisesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(7, 0, "")]
    [InlineData(8, 0, "")]
    [InlineData(6, 0, "a session that had seen 7 was shown 6")]
    public void A_session_is_never_shown_less_than_it_has_seen(long zxid, long call, string told) =>
        Judged($$"""{"op":"exists","path":"/a","exists":false,"call":{{call}},"ret":1,"status":"ok","zxid":{{zxid}},"seen":7,"got":"Session"}""", told);

    // Written: zxid 5, acknowledged at 100; zxid 9, acknowledged at 200, as an older one is (8).
    [Theory]
    [InlineData(150, 0, "")]
    [InlineData(151, 4, "showed 4, and 5 had been acknowledged before")]
    [InlineData(150, 4, "")]
    [InlineData(250, 5, "")]
    [InlineData(251, 8, "showed 8, and 9 had been acknowledged before")]
    [InlineData(251, 9, "")]
    [InlineData(9000, 5, "showed 5, and 9 had been acknowledged before")]
    public void A_read_with_a_bound_shows_what_was_acknowledged_longer_ago(long call, long zxid, string told) =>
        Judged(
            $$"""{"op":"exists","path":"/a","exists":false,"call":{{call}},"ret":{{call}},"status":"ok","zxid":{{zxid}},"behind":50,"got":"BoundedStaleness"}""",
            told);

    [Fact]
    public void Reads_are_counted_by_what_they_got()
    {
        var file = Write("one", """{"op":"get","got":"Lease"}""", """{"op":"get"}""", """{"op":"get","got":"Session"}""", """{"op":"get","got":"Lease"}""");

        Assert.Equal([new("Lease", 2), new("Session", 1)], Promises.Count(file, Write("other")));
    }

    private void Judged(string read, string told)
    {
        HistoryOperation Set(long at, long zxid) => new()
        {
            Kind = HistoryKind.Set, Path = "/a", Call = at - 10, Return = at, Status = HistoryStatus.Ok, Zxid = zxid,
        };
        HistoryOperation[] history =
        [
            Set(200, 9), Set(100, 5), Set(200, 8), Set(100, 77) with { Status = HistoryStatus.Info },
            Set(100, 78) with { Kind = HistoryKind.Get },
        ];

        var broken = Promises.Broken(Write("reads", read), history).ToArray();

        if (told.Length == 0)
            Assert.Empty(broken);
        else
            Assert.Contains(told, Assert.Single(broken));
    }

    private string Write(string name, params string[] lines)
    {
        var file = Path.Combine(_folder.Path, name);
        File.WriteAllLines(file, lines);
        return file;
    }
}
