using System.Text;
using RaftKit.Node.Loop;

namespace KeyValueStore;

/// <summary>What the application calls: typed, and the only place that knows how a command is written.</summary>
public sealed class StoreClient(IReplicated<Store> store)
{
    /// <summary>Sets a key, exactly once, and returns its value before.</summary>
    public async Task<string> SetAsync(string key, string value, CancellationToken cancellationToken = default)
    {
        if (key.Length == 0 || key.Contains('='))
            throw new ArgumentException($"'{key}' is no key: it must not be empty, nor contain '='.", nameof(key));
        return Text(await store.ProposeAsync(Encoding.UTF8.GetBytes($"{key}={value}"), cancellationToken));
    }

    /// <summary>Removes a key, exactly once, and returns its value before.</summary>
    public async Task<string> RemoveAsync(string key, CancellationToken cancellationToken = default) =>
        Text(await store.ProposeAsync(Encoding.UTF8.GetBytes(key), cancellationToken));

    /// <summary>The newest value of all, whichever member is asked; null where there is none.</summary>
    public Task<string?> GetAsync(string key, CancellationToken cancellationToken = default) =>
        store.ReadAsync(machine => machine.Values.GetValueOrDefault(key), cancellationToken);

    /// <summary>How many keys there are on this member, at once and also without a leader.</summary>
    public Task<int> CountLocallyAsync(CancellationToken cancellationToken = default) =>
        store.ReadLocalAsync(machine => machine.Values.Count, cancellationToken);

    private static string Text(ReadOnlyMemory<byte> bytes) => Encoding.UTF8.GetString(bytes.Span);
}
