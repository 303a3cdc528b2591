using RaftKit.Load.Parent;
using RaftKit.Znodes;

namespace RaftKit.Load.Loads;

/// <summary>Fills a tree with znodes below a hundred parents.</summary>
internal static class TreeFilling
{
    private const int Parents = 100;

    /// <param name="session">Who creates them.</param>
    /// <param name="znodes">How many.</param>
    /// <param name="size">Bytes of data in each.</param>
    /// <param name="perEntry">How many are created by one entry of the log.</param>
    public static async Task RunAsync(IZnodeSession session, int znodes, int size, int perEntry)
    {
        for (var top = 0; top < Parents; top++)
            await session.CreateAsync($"/n{top:d2}");
        foreach (var batch in Enumerable.Range(0, znodes).Chunk(perEntry).Chunk(Math.Max(1, 4000 / perEntry)))
        {
            var results = await Task.WhenAll(batch.Select(some =>
                session.MultiAsync([.. some.Select(i => new ZnodeOperation.Create(PathOf(i), new byte[size]))])));
            if (results.FirstOrDefault(r => !r.Succeeded) is { } failed)
                throw new LoadFailedException($"Filling the tree failed: {failed.Results.First(r => r.Error != ZnodeError.None)}.");
        }
    }

    public static string PathOf(int znode) => $"/n{znode % Parents:d2}/z{znode:d7}";
}
